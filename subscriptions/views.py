"""Sign-up, confirmation, preferences, unsubscribing. GET shows, POST acts; a token authorises."""

from contextlib import suppress
from datetime import timedelta
from functools import wraps
from math import ceil
from urllib.parse import urlencode

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html_join
from django.utils.translation import get_language_from_request, gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from subscriptions import (
    addresses,
    changing,
    correspondence,
    erasing,
    exporting,
    forms,
    limits,
    links,
    moving,
    registry,
    schedule,
    signup,
)
from subscriptions.db import retry_on_integrity_error
from subscriptions.models import Letter, Subscriber, Topic, TopicPreference
from subscriptions.post import retention, unreadable
from subscriptions.post.status import of_sending

CONSENT = _("Send me one email a day with new research papers. I can stop it with one click.")
UNDO = _("Send me the daily digest again, as it was. I can stop it with one click.")
VOUCH = _("Letters reach me at this address. Send me the daily digest again.")
#: How long after unsubscribing the page offers to undo it. Its link is in every email, also in
#: those that were passed on.
UNDO_SHOWN = timedelta(minutes=10)
#: The content types of forms.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
DONE = {
    "save": _("Saved."),
    "resume": _("Welcome back."),
    "reset": _("What you said of papers is forgotten, and no paper is saved."),
    "move": _("Two letters are on their way, one to each address. Both have to say yes."),
    "stay": _("The digest stays at this address."),
}
MOVE = {
    "old": _("My digest moves to the new address."),
    "new": _("Send the daily digest to this address. I can stop it with one click."),
}
#: By the kind of letter whose link asks something: template, wording, and source of the consent.
QUESTIONS = {
    Letter.Kind.CONFIRM: ("subscriptions/confirm.html", CONSENT, "link in the letter"),
    Letter.Kind.GOODBYE: ("subscriptions/come_back.html", UNDO, "link that undoes unsubscribing"),
    Letter.Kind.BOUNCED: (
        "subscriptions/vouch.html",
        VOUCH,
        "link in the letter about letters that came back",
    ),
}


def token_page(view):
    """Mark a page that a token opens: no CSRF cookie. (config.policies keeps its address secret.)

    A wrong token is answered 404, and one that no longer opens the page 410.
    """

    @wraps(view)
    def opened(request, *args, **kwargs):
        try:
            return view(request, *args, **kwargs)
        except (links.ClosedToken, links.ExpiredToken, signup.UsedToken, moving.NotOpen) as error:
            status, is_closed = 410, isinstance(error, links.ClosedToken)
        except (links.BadToken, Subscriber.DoesNotExist):
            status, is_closed = 404, False
        is_move = request.resolver_match.url_name == "move"
        context = {"expired": status == 410, "of_move": is_move, "is_closed": is_closed}
        return render(request, "subscriptions/bad_link.html", context, status=status)

    return csrf_exempt(require_http_methods(["GET", "HEAD", "POST"])(opened))


def public_page(view):
    """Mark a page that only shows. A POST is answered 405, without asking for a CSRF cookie."""
    return csrf_exempt(require_safe(view))


# ---- Sign-up and confirmation


@csrf_exempt  # Other sites may embed the form; the sign-up has to be confirmed by email.
@require_http_methods(["GET", "HEAD", "POST"])
def subscribe(request):
    """Sign up. The response does not depend on whether the address is subscribed."""
    if request.method != "POST":
        return _sign_up_page(request, forms.SignUpForm.choosing(request.GET))
    form = forms.SignUpForm(request.POST)
    if not form.is_valid():
        return _sign_up_page(request, form, status=400)
    email, now = form.cleaned_data["email"], timezone.now()
    try:
        limits.check_visitor("sign-up", request.META["REMOTE_ADDR"], now)
    except limits.TooManyAttempts as refusal:
        return too_many(request, refusal)
    if request.bypassed_proxies:
        limits.report_bypassed_proxy(now)
    try:
        _sign_up(request, form, now)
    except IntegrityError:  # A topic was deleted concurrently.
        form = forms.SignUpForm(request.POST)
        if not form.is_valid():
            return _sign_up_page(request, form, status=400)
        _sign_up(request, form, now)
    response = render(request, "subscriptions/check_inbox.html", _expected_letter(email, now))
    add_never_cache_headers(response)  # It shows what was typed.
    return response


def _sign_up(request, form, now):
    email = form.cleaned_data["email"]
    ours = (settings.SITE_URL, f"{request.scheme}://{request.get_host()}")
    is_ours = request.headers.get("Origin", settings.SITE_URL) in ours
    via = "sign-up form" if is_ours else "sign-up form on another site"
    with transaction.atomic():  # One, so that each sign-up writes something.
        if limits.check_mailbox("sign-up", email, now):
            sign_up_request = form.sign_up_request(get_language_from_request(request))
            source = _consent_source(request, via, CONSENT)
            signup.subscribe(email, sign_up_request, source=source, now=now)


def _sign_up_page(request, form, status=200):
    topics = Topic.objects.offered_with(form["topics"].value() or [])
    context = {"form": form, "consent": CONSENT, **topics.grouped()}
    return render(request, "subscriptions/subscribe.html", context, status=status)


@token_page
@retry_on_integrity_error
def confirm(request, token):
    """Answer one of the QUESTIONS."""
    now = timezone.now()
    kind, public_id, asked_at = links.read_confirm(token, now)
    subscriber = Subscriber.objects.get(public_id=public_id)
    template, wording, via = QUESTIONS[kind]
    if request.method == "POST":
        source = _consent_source(request, via, wording)
        signup.confirm(subscriber, asked_at, source=source, now=now, kind=kind)
        subscriber.refresh_from_db()
    is_open = signup.is_open(subscriber, asked_at, now=now, kind=kind)
    is_first = False  # Whether a first digest is due at once.
    if request.method == "POST" and subscriber.confirmed_at is not None and kind == "confirm":
        is_first = not subscriber.had_digest_before_confirming()
    context = {
        "subscriber": subscriber,
        "address": addresses.readable(subscriber.email),
        "preferences_url": links.preferences_url(subscriber),
        "consent": wording,
        "kind": kind,
        "state": subscriber.state_at(now),
        "is_delayed": subscriber.is_delayed(now),
        "is_first": is_first,
        "is_held_up": _is_held_up(now),
        "now": now,
    }
    return render(request, template if is_open else "subscriptions/confirmed.html", context)


@csrf_exempt  # The letter goes to the address alone, and there is no cookie to protect.
@require_http_methods(["GET", "HEAD", "POST"])
def lost(request):
    """Send the link to the preferences again. Does not tell whether the address is subscribed."""
    form = forms.AddressForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "subscriptions/lost.html", {"form": form}, status=status)
    email, now = form.cleaned_data["email"], timezone.now()
    try:
        limits.check_visitor("lost link", request.META["REMOTE_ADDR"], now)
    except limits.TooManyAttempts as refusal:
        return too_many(request, refusal)
    with transaction.atomic():  # One, so that each request writes something.
        if limits.check_mailbox("lost link", email, now):
            correspondence.send_link(email, now=now)
    return render(request, "subscriptions/lost_sent.html", _expected_letter(email, now))


def _expected_letter(email, now):
    """Return the context of a page about a letter that was asked for, whether or not one comes."""
    return {
        "address": addresses.readable(email),
        "goes_to_files": settings.EMAIL_URL.startswith("file:"),
        "is_held_up": _is_held_up(now),
    }


def _is_held_up(now):
    """Return whether no letters are sent at the moment."""
    return of_sending(now).grade != "on"


# ---- Change of address, and unsubscribing


@token_page
def move(request, token):
    """Confirm a change of address, from the old or the new one.

    Once it is done, the link to the old mailbox opens nothing, and does not say where they are.
    """
    now, taken = timezone.now(), False
    side, public_id, asked_at = links.read_move(token, now)
    subscriber = Subscriber.objects.get(public_id=public_id)
    wish = moving.find(subscriber, asked_at)
    if request.method == "POST":
        source = _consent_source(request, f"link in the letter to the {side} address", MOVE[side])
        try:
            wish = moving.approve(subscriber, side, asked_at, source=source, now=now)
        except moving.AddressTaken:
            taken = True
        else:
            subscriber = Subscriber.objects.get(public_id=public_id)
    context = {
        "side": side,
        "wish": wish,
        "agreed": wish.has_agreed(side),
        "taken": taken,
        "consent": MOVE[side],
        "new_address": addresses.readable(wish.new_email),
        "address": addresses.readable(subscriber.email),
    }
    if side == "new":
        context["preferences_url"] = links.preferences_url(subscriber)
    return render(request, "subscriptions/move.html", context)


@token_page
def unsubscribe(request, token):
    """Unsubscribe. A link from before a change of address does so too, and tells no more."""
    public_id, since = links.parse_token("unsubscribe", token)
    now, context = timezone.now(), {}
    if request.method == "POST":
        # The body is not parsed as a form: mail programs may write it in any way.
        via = "mail program" if b"List-Unsubscribe" in request.body else "unsubscribe page"
        with suppress(Subscriber.DoesNotExist):  # Erased.
            source = _consent_source(request, via)
            context["under_way"] = signup.unsubscribe(public_id, source=source, now=now)
    if subscriber := Subscriber.objects.filter(public_id=public_id).first():
        context["subscriber"] = subscriber
        if not links.is_closed(subscriber, since):
            context["address"] = addresses.readable(subscriber.email)
    if request.method != "POST":
        return render(request, "subscriptions/unsubscribe.html", context)
    if "address" in context:
        context["preferences_url"] = links.preferences_url(subscriber)
        left_at = subscriber.unsubscribed_at
        if subscriber.can_resubscribe(now) and now - left_at < UNDO_SHOWN:
            undo = links.token(Letter.Kind.GOODBYE, subscriber.public_id, left_at)
            context |= {"undo_path": reverse("confirm", args=[undo]), "undo": UNDO}
    return render(request, "subscriptions/unsubscribed.html", context)


# ---- Preferences


@token_page
def preferences(request, token):
    """Show the preferences, or do one of the ACTIONS."""
    subscriber = links.subscriber_of("preferences", token)
    if request.method != "POST":
        return _preferences_page(request, subscriber, forms.PreferencesForm.showing(subscriber))
    if request.body and request.content_type not in FORMS:
        # It would be read as an empty form, which drops all topics.
        return bad_request(request, gettext("This page takes forms only."))
    action = ACTIONS.get(request.POST.get("action") or "save")
    if action is None:
        return bad_request(request, gettext("There is no such action."))
    return action(request, subscriber, token)


@retry_on_integrity_error
def _save(request, subscriber, token):
    form = _submitted(request, subscriber)
    if not form.is_valid():
        return _preferences_page(request, subscriber, form, status=400)
    topics = form.topic_selection()
    changing.change(subscriber, topics, form.settings(), now=timezone.now())
    both = sorted(topics.followed_and_muted(subscriber))[:50]  # The URL has room for no more.
    return _done(token, "save", both=both)


def _preview(request, subscriber, token):
    """Show what saving would change: with `?part`, as a fragment for the page's script."""
    form = _submitted(request, subscriber)
    if not form.is_valid():
        return _preferences_page(request, subscriber, form, status=400)
    unsaved = (form.topic_selection(), form.settings(), timezone.now())
    parts = ((preview(subscriber, *unsaved),) for preview in registry.previews)
    html = format_html_join("", "{}", parts)
    if "part" in request.GET:
        return HttpResponse(html)
    return _preferences_page(request, subscriber, form, preview=html)


def _submitted(request, subscriber):
    form = forms.PreferencesForm(request.POST)
    form.refuse_past_pause(subscriber, schedule.local_day(timezone.now(), subscriber.zone))
    return form


def _resume(request, subscriber, token):
    """End what stops the digests: a suppression, or else a pause."""
    now, source = timezone.now(), _consent_source(request, "preferences page", VOUCH)
    if not (subscriber.has_opted_in and signup.unsuppress(subscriber, now=now, source=source)):
        changing.resume(subscriber, now=now)
    subscriber.refresh_from_db()
    # If it is not active, the page itself says why.
    return _done(token, "resume" if subscriber.state_at(now) == "active" else "")


def _reset(request, subscriber, token):
    erasing.reset(subscriber)
    return _done(token, "reset")


def _export(request, subscriber, token):
    response = JsonResponse(exporting.export(subscriber), json_dumps_params={"indent": 2})
    response["Content-Disposition"] = 'attachment; filename="paperboy.json"'
    return response


def _erase(request, subscriber, token):
    for_good = request.POST.get("never_again") == "yes"
    erasing.erase(subscriber, now=timezone.now(), for_good=for_good)
    context = {
        "for_good": for_good,
        "contact": settings.CONTACT_EMAIL,
        "days": max(retention.KEEP_JOURNALS, unreadable.KEEP, limits.KEEP).days,
        "writes_files": settings.EMAIL_URL.startswith("file:"),
    }
    return render(request, "subscriptions/erased.html", context)


def _move(request, subscriber, token):
    form, now = forms.MoveForm(request.POST, subscriber=subscriber), timezone.now()
    try:
        if form.is_valid():
            limits.check_visitor("new address", request.META["REMOTE_ADDR"], now)
            new_email = form.cleaned_data["new_email"]
            if limits.check_mailbox("new address", subscriber.email, now):
                with transaction.atomic():
                    may_write = limits.check_mailbox("new address", new_email, now)
                    moving.request(subscriber, new_email, now=now, may_write=may_write)
            else:
                message = _("That was often today. Please try again tomorrow.")
                form.add_error("new_email", message)
    except limits.TooManyAttempts as refusal:
        return too_many(request, refusal)
    except moving.NotOpen:
        form.add_error("new_email", _("Only a digest that you get can move."))
    if form.is_valid():
        return _done(token, "move")
    shown = forms.PreferencesForm.showing(subscriber)
    return _preferences_page(request, subscriber, shown, status=400, move_form=form)


def _keep_address(request, subscriber, token):
    moving.keep_address(subscriber, now=timezone.now())
    return _done(token, "stay")


ACTIONS = {
    "save": _save,
    "preview": _preview,
    "resume": _resume,
    "reset": _reset,
    "move": _move,
    "stay": _keep_address,
    "export": _export,
    "erase": _erase,
}


def _done(token, action, **params):
    query = urlencode({"done": action, **params}, doseq=True)
    return redirect(f"{reverse('preferences', args=[token])}?{query}")


def _preferences_page(request, subscriber, form, status=200, move_form=None, preview=""):
    now = timezone.now()
    ids = [text for text in request.GET.getlist("both") if text.isascii() and text.isdecimal()]
    muted = subscriber.preferences.filter(
        stance=TopicPreference.Stance.MUTE, topic__in=[int(text) for text in ids if len(text) < 19]
    )
    context = {
        "move_form": move_form or forms.MoveForm(subscriber=subscriber),
        "move": moving.pending(subscriber),
        "preview": preview,
        "subscriber": subscriber,
        "state": subscriber.state_at(now),
        "is_delayed": subscriber.is_delayed(now),
        "address": addresses.readable(subscriber.email),
        "form": form,
        **Topic.objects.offered_to(subscriber).grouped(),
        "zones": forms.zones(),
        "days": schedule.weekday_names(subscriber.weekdays),
        "today": schedule.local_day(now, subscriber.zone),
        "vouch": VOUCH,
        "unsubscribe_url": links.unsubscribe_url(subscriber),
        "done": DONE.get(request.GET.get("done")),
        "both": list(muted.order_by("pk").values_list("topic__name", flat=True)),
        "panels": [panel(subscriber) for panel in registry.panels],
    }
    return render(request, "subscriptions/preferences.html", context, status=status)


# ---- Refusals


def too_many(request, refusal: limits.TooManyAttempts):
    """Answer 429, or 503 if attempts cannot be counted."""
    minutes = ceil(refusal.retry_after / 60)
    context = {"minutes": minutes, "by": refusal.by, "door": refusal.endpoint}
    status = 503 if refusal.by == "store" else 429
    response = render(request, "429.html", context, status=status)
    response["Retry-After"] = str(refusal.retry_after)
    add_never_cache_headers(response)
    return response


def bad_request(request, message):
    """Answer 400 to a form that no page of ours would send."""
    return render(request, "400.html", {"said": message}, status=400)


def _consent_source(request, via, wording=""):
    ip = request.META.get("REMOTE_ADDR") or None
    return signup.ConsentSource(via=via, ip=ip, wording=str(wording))
