"""Unsubscribe, its undo, and the optional question why."""

from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from digest.views.access import consent_source, token_page
from digest.views.subscribing.confirm import UNDO
from subscriptions import addresses, schedule
from subscriptions.actions import preferences, signup
from subscriptions.models import Consent, Letter, Subscriber
from subscriptions.security import tokens

#: How long after unsubscribing the page offers to undo it. Its link is in every email, also in
#: those that were passed on.
UNDO_SHOWN = timedelta(minutes=10)
PAUSE = timedelta(weeks=4)  # A month would be longer than papers of a pause are kept for.


@token_page
def unsubscribe(request, token):
    """Unsubscribe. A link from before a change of address works, but does not show the address."""
    public_id, bound_at = tokens.parse_token("unsubscribe", token)
    now, context = timezone.now(), {"reasons": Consent.Reason.choices}
    if request.method == "POST" and "why" in request.GET:
        context["thanks"] = signup.record_reason(public_id, request.POST.get("reason", ""))
    elif request.method == "POST":
        # The body is not parsed as a form: mail programs may write it in any way.
        via = "mail program" if b"List-Unsubscribe" in request.body else "unsubscribe page"
        with suppress(Subscriber.DoesNotExist):  # Erased.
            source = consent_source(request, via)
            context["under_way"] = signup.unsubscribe(public_id, source=source, now=now)
    if subscriber := Subscriber.objects.filter(public_id=public_id).first():
        context["subscriber"] = subscriber
        if not tokens.is_closed(subscriber, bound_at):
            context["address"] = addresses.readable(subscriber.email)
            context["preferences_url"] = tokens.preferences_url(subscriber)
            if subscriber.state_at(now) == "active":
                context["preferences_path"] = urlsplit(context["preferences_url"]).path
                context["pause_until"] = schedule.local_day(now, subscriber.zone) + PAUSE
    if request.method != "POST" or (subscriber and not subscriber.unsubscribed_at):
        return render(request, "digest/subscribing/unsubscribe.html", context)
    if "address" in context:
        unsubscribed_at = subscriber.unsubscribed_at
        if subscriber.can_resubscribe(now) and now - unsubscribed_at < UNDO_SHOWN:
            undo_token = tokens.token(Letter.Kind.GOODBYE, subscriber.public_id, unsubscribed_at)
            context |= {"undo_path": reverse("confirm", args=[undo_token]), "undo": UNDO}
    return render(request, "digest/subscribing/unsubscribed.html", context)


@token_page
def opt_out(request, token):
    """Stop messages of operators. Digests go on."""
    public_id, bound_at = tokens.parse_token("unsubscribe", token)
    context = {"token": token}
    if subscriber := Subscriber.objects.filter(public_id=public_id).first():
        if request.method == "POST":
            setting = {"takes_messages": False}
            subscriber = preferences.change(subscriber, None, setting, now=timezone.now())
        context["subscriber"] = subscriber
        if not tokens.is_closed(subscriber, bound_at):
            context["preferences_url"] = tokens.preferences_url(subscriber)
    return render(request, "digest/subscribing/opt_out.html", context)
