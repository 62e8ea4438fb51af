"""Agree to a change of address."""

from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from digest.views.access import consent_source, token_page
from subscriptions import addresses
from subscriptions.actions import change_address
from subscriptions.models import Subscriber
from subscriptions.security import tokens

CONSENTS = {
    "old": _("Send my digest to the new address."),
    "new": _("Send the daily digest to this address. Unsubscribe any time."),
}


@token_page
def move(request, token):
    """Confirm a change of address, from the old or the new one.

    After the change, the link in the old mailbox does not work, nor reveal the new address.
    """
    now, is_taken = timezone.now(), False
    side, public_id, asked_at = tokens.read_move(token, now)
    subscriber = Subscriber.objects.get(public_id=public_id)
    change = change_address.find_move(subscriber, asked_at)
    if request.method == "POST":
        source = consent_source(request, f"link in the email to the {side} address", CONSENTS[side])
        try:
            change = change_address.approve(subscriber, side, asked_at, source=source, now=now)
        except change_address.AddressTaken:
            is_taken = True
        else:
            subscriber = Subscriber.objects.get(public_id=public_id)
    context = {
        "side": side,
        "move": change,
        "has_agreed": change.has_agreed(side),
        "is_taken": is_taken,
        "consent": CONSENTS[side],
        "new_address": addresses.readable(change.new_email),
        "address": addresses.readable(subscriber.email),
    }
    if side == "new":
        context["preferences_url"] = tokens.preferences_url(subscriber)
    return render(request, "digest/subscribing/change_address.html", context)
