"""Confirmation by a link in an email: of a sign-up, after unsubscribing, and after bounces."""

from dataclasses import replace
from datetime import timedelta

from django.db import transaction
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from digest.models import Digest
from digest.views import chips
from digest.views.access import consent_source, token_page
from digest.views.preferences.forms import JoinForm
from digest.views.subscribing import sign_up
from subscriptions import addresses
from subscriptions.actions import groups, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.db import retry_on_integrity_error
from subscriptions.models import Letter, Subscriber
from subscriptions.security import tokens

UNDO = _("I’d like the daily email again, with my previous settings. Unsubscribe any time.")
ADDRESS_WORKS = _("I can receive email at this address. Send me the daily digest again.")

#: How long the page that confirms waits for the first digest before it says when that comes.
FIRST_DIGEST_WAIT = timedelta(seconds=15)

#: By the kind of letter whose link must be answered: template, wording, and source of the consent.
QUESTIONS = {
    Letter.Kind.CONFIRM: ("confirm", sign_up.CONSENT, "link in the email"),
    Letter.Kind.GOODBYE: ("resubscribe", UNDO, "link that undoes unsubscribing"),
    Letter.Kind.BOUNCED: ("confirm_address", ADDRESS_WORKS, "link in the email about bounces"),
}


@token_page
@retry_on_integrity_error
def confirm(request, token):
    """Answer one of the QUESTIONS."""
    now = timezone.now()
    kind, public_id, asked_at = tokens.read_confirm(token, now)
    subscriber = Subscriber.objects.get(public_id=public_id)
    template, wording, via = QUESTIONS[kind]
    memberships = subscriber.memberships.filter(joined_at=None).select_related("group")
    membership = memberships.first() if kind == Letter.Kind.CONFIRM else None
    join_form = JoinForm(membership, request.POST or None) if membership else None
    wants_to_join = join_form is not None and "join" in request.POST
    if request.method == "POST" and (not wants_to_join or join_form.is_valid()):
        source = consent_source(request, via, wording)
        with transaction.atomic():
            signup.confirm(subscriber, asked_at, source=source, now=now, kind=kind)
            if wants_to_join:
                source = replace(source, wording=join_form.consent)
                groups.join(membership, join_form.cleaned_data["name"], source=source, now=now)
        subscriber.refresh_from_db()
    awaits_answer = signup.awaits_answer(subscriber, asked_at, now=now, kind=kind)
    state, is_held_up = subscriber.state_at(now), sign_up.is_held_up(now)
    # Whether a first digest is due at once.
    has_confirmed = not awaits_answer and kind == "confirm" and subscriber.confirmed_at is not None
    is_first = has_confirmed and not subscriber.had_digest_before_confirming()
    first_digest = _first_digest(subscriber, now) if is_first else ""
    is_new = is_first and now - subscriber.confirmed_at < FIRST_DIGEST_WAIT
    fields = subscriber.pending_settings
    sign_up_request = signup.SignUpRequest.from_json(fields) if fields else None
    selection = sign_up_request.topics if sign_up_request else TopicSelection.stored_by(subscriber)
    context = {
        "subscriber": subscriber,
        "interests": chips.plain_chips(selection),
        "address": addresses.readable(subscriber.email),
        "preferences_url": tokens.preferences_url(subscriber),
        "preferences_token": tokens.own_token("preferences", subscriber),
        "consent": wording,
        "join_form": join_form,
        "wants_to_join": wants_to_join,
        "kind": kind,
        "state": state,
        "is_delayed": subscriber.is_delayed(now),
        "is_first": is_first,
        "first_digest": first_digest,
        "is_pending": is_new and state == "active" and not (first_digest or is_held_up),
        "is_held_up": is_held_up,
        "now": now,
    }
    template = f"digest/subscribing/{template if awaits_answer else 'confirmed'}.html"
    status = 400 if wants_to_join and join_form.errors else 200
    return render(request, template, context, status=status)


def _first_digest(subscriber, now) -> str:
    """Return the digest that was planned for a confirmation, as HTML. Empty until there is one."""
    digests = Digest.objects.not_missed().filter(letter__created_at__gte=subscriber.confirmed_at)
    digest = digests.filter(subscriber=subscriber).order_by("pk").first()
    if digest is None:
        return ""
    from digest.planning import explain  # numpy, which only processes that rank import.

    context = {
        "subscriber": subscriber,
        "digest": digest,
        "picks": digest.picks.with_papers(),
        "why": explain.explain_empty_digests(subscriber, now),
        "feedback_token": tokens.own_token("feedback", subscriber),
        "digest_token": tokens.own_token("digest", subscriber, digest.public_id),
    }
    return render_to_string("digest/subscribing/_first_digest.html", context)
