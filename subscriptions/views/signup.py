"""Sign-up, confirmation, and sending a lost link again."""

from dataclasses import replace
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language_from_request
from django.utils.translation import gettext_lazy as _

from subscriptions import addresses, forms, hooks
from subscriptions.actions import groups, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.db import retry_on_integrity_error
from subscriptions.delivery.status import sending_status
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.notices import send
from subscriptions.security import rate_limits, tokens
from subscriptions.views.access import consent_source, csrf_exempt_form, token_page

CONSENT = _("I’d like a daily email with new papers. Unsubscribe any time.")
UNDO = _("I’d like the daily email again, with my previous settings. Unsubscribe any time.")
ADDRESS_WORKS = _("I can receive email at this address. Send me the daily digest again.")

#: How long the page that confirms waits for the first digest before it says when that comes.
FIRST_DIGEST_WAIT = timedelta(seconds=15)

#: By the kind of letter whose link must be answered: template, wording, and source of the consent.
QUESTIONS = {
    Letter.Kind.CONFIRM: ("confirm", CONSENT, "link in the email"),
    Letter.Kind.GOODBYE: ("resubscribe", UNDO, "link that undoes unsubscribing"),
    Letter.Kind.BOUNCED: ("confirm_address", ADDRESS_WORKS, "link in the email about bounces"),
}


@csrf_exempt_form  # Other sites may embed the form; the sign-up has to be confirmed by email.
@retry_on_integrity_error
def subscribe(request):
    """Sign up. The response does not depend on whether the address is subscribed."""
    if request.method != "POST":
        return _sign_up_page(request, forms.SignUpForm.with_choices(request.GET))
    form = forms.SignUpForm(request.POST)
    if not form.is_valid():
        return _sign_up_page(request, form, status=400)
    now = timezone.now()
    rate_limits.check_visitor("sign-up", request.META["REMOTE_ADDR"], now)
    if request.bypassed_proxies:
        rate_limits.report_bypassed_proxy(now)
    email = form.cleaned_data["email"]
    own_origins = (settings.SITE_URL, f"{request.scheme}://{request.get_host()}")
    is_own_form = request.headers.get("Origin", settings.SITE_URL) in own_origins
    via = "sign-up form" if is_own_form else "sign-up form on another site"
    with transaction.atomic():  # One, so that each sign-up writes something.
        if rate_limits.check_mailbox("sign-up", email, now):
            sign_up_request = form.sign_up_request(get_language_from_request(request))
            source = consent_source(request, via, CONSENT)
            signup.subscribe(email, sign_up_request, source=source, now=now)
    context = {"interests": hooks.list_interests(form.topic_selection())}
    context |= _expected_letter(email, now)
    response = render(request, "subscriptions/check_inbox.html", context)
    add_never_cache_headers(response)  # It shows what was typed.
    return response


def _sign_up_page(request, form, status=200):
    topics = Topic.objects.offered_with(form["topics"].value() or [])
    params, now = request.POST or request.GET, timezone.now()
    parts = hooks.sign_up_parts(params, now, errors=form.errors)
    context = {"form": form, "consent": CONSENT, "parts": parts, **topics.grouped()}
    return render(request, "subscriptions/subscribe.html", context, status=status)


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
    join_form = forms.JoinForm(membership, request.POST or None) if membership else None
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
    state, is_held_up = subscriber.state_at(now), _is_held_up(now)
    # Whether a first digest is due at once.
    has_confirmed = not awaits_answer and kind == "confirm" and subscriber.confirmed_at is not None
    is_first = has_confirmed and not subscriber.had_digest_before_confirming()
    first_digests = [digest(subscriber) for digest in hooks.first_digests] if is_first else []
    is_new = is_first and now - subscriber.confirmed_at < FIRST_DIGEST_WAIT
    fields = subscriber.pending_settings
    sign_up_request = signup.SignUpRequest.from_json(fields) if fields else None
    selection = sign_up_request.topics if sign_up_request else TopicSelection.stored_by(subscriber)
    context = {
        "subscriber": subscriber,
        "interests": hooks.list_interests(selection),
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
        "first_digests": first_digests,
        "is_pending": is_new and state == "active" and not (any(first_digests) or is_held_up),
        "is_held_up": is_held_up,
        "now": now,
    }
    template = f"subscriptions/{template if awaits_answer else 'confirmed'}.html"
    status = 400 if wants_to_join and join_form.errors else 200
    return render(request, template, context, status=status)


@csrf_exempt_form  # The letter goes to the address alone, and there is no cookie to protect.
def resend_link(request):
    """Send the link to the preferences again. Does not tell whether the address is subscribed."""
    form = forms.AddressForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "subscriptions/resend_link.html", {"form": form}, status=status)
    email, now = form.cleaned_data["email"], timezone.now()
    rate_limits.check_visitor("lost link", request.META["REMOTE_ADDR"], now)
    with transaction.atomic():  # One, so that each request writes something.
        if rate_limits.check_mailbox("lost link", email, now):
            send.send_link(email, now=now)
    return render(request, "subscriptions/resend_link_sent.html", _expected_letter(email, now))


def _expected_letter(email, now):
    """Return the context of a page that announces a letter, whether or not one is sent."""
    return {
        "address": addresses.readable(email),
        "meant": addresses.suggestion(email),
        "goes_to_files": settings.EMAIL_URL.startswith("file:"),
        "is_held_up": _is_held_up(now),
    }


def _is_held_up(now):
    """Return whether no letters are sent at the moment."""
    return sending_status(now).grade != "on"
