"""The doors for readers. GET shows and changes nothing; POST acts. A token is proof enough."""

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
    rhythm,
    schedule,
    signup,
)
from subscriptions.models import Letter, Subscriber, Topic, TopicPreference
from subscriptions.post import retention, unreadable
from subscriptions.post.status import of_sending
from subscriptions.races import once_more

CONSENT = _("Send me one email a day with new research papers. I can stop it with one click.")
UNDO = _("Send me the daily digest again, as it was. I can stop it with one click.")
VOUCH = _("Letters reach me at this address. Send me the daily digest again.")
#: So long after she has left, the page that she left by offers to undo it. Not for good: the link
#: to that page stands in every letter, also in those that she passed on to others.
UNDO_SHOWN = timedelta(minutes=10)
#: How browsers, and programs that do as they do, send in a form.
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


#: What the link of a letter asks: on which page, in which words, and how she answers.
QUESTIONS = {
    Letter.Kind.CONFIRM: ("subscriptions/confirm.html", CONSENT, "link in the letter"),
    Letter.Kind.GOODBYE: ("subscriptions/come_back.html", UNDO, "link that undoes unsubscribing"),
    Letter.Kind.BOUNCED: (
        "subscriptions/vouch.html",
        VOUCH,
        "link in the letter about letters that came back",
    ),
}


def for_token_holders(view):
    """Mark a page that a token opens: it asks for no cookie. (config.policies keeps it secret.)

    A token from before her digest moved opens none, and is told what to do.
    """

    @wraps(view)
    def opened(request, *args, **kwargs):
        try:
            return view(request, *args, **kwargs)
        except links.ClosedToken:
            return _bad_link(request, 410, is_closed=True)

    return csrf_exempt(require_http_methods(["GET", "HEAD", "POST"])(opened))


def for_all_to_read(view):
    """Mark a page that only shows. To whoever sends it something it says so, and asks for no
    cookie: of a page that changes nothing, nobody needs to prove that a form is ours.
    """
    return csrf_exempt(require_safe(view))


@csrf_exempt  # Other sites may embed the form; what it does has to be confirmed by mail.
@require_http_methods(["GET", "HEAD", "POST"])
def subscribe(request):
    """Where a reader signs up. The answer is the same for everyone, however she stands already."""
    if request.method != "POST":
        return _sign_up_page(request, forms.SignUpForm.choosing(request.GET))
    form = forms.SignUpForm(request.POST)
    if not form.is_valid():
        return _sign_up_page(request, form, status=400)
    email, now = form.cleaned_data["email"], timezone.now()
    try:
        limits.knock("sign-up", request.META["REMOTE_ADDR"], now)
    except limits.TooMany as refusal:
        return too_many(request, refusal)
    if request.came_past_proxies:
        limits.note_came_past(now)
    try:
        _sign_up(request, form, now)
    except IntegrityError:  # A topic was deleted in this very moment: there is none, then.
        form = forms.SignUpForm(request.POST)
        if not form.is_valid():
            return _sign_up_page(request, form, status=400)
        _sign_up(request, form, now)
    response = render(request, "subscriptions/check_inbox.html", _awaited(email, now))
    add_never_cache_headers(response)  # It shows what was typed.
    return response


def _sign_up(request, form, now):
    email = form.cleaned_data["email"]
    # Browsers say where a form stands that is posted.
    ours = (settings.SITE_URL, f"{request.scheme}://{request.get_host()}")
    is_ours = request.headers.get("Origin", settings.SITE_URL) in ours
    via = "sign-up form" if is_ours else "sign-up form on another site"
    with transaction.atomic():  # One, so that each sign-up writes something, whoever it is.
        if limits.may_write_to("sign-up", email, now):
            signup.subscribe(
                email,
                form.wishes(),
                timezone=form.cleaned_data["timezone"],
                hour=form.cleaned_data["hour"],
                language=form.cleaned_data["language"] or get_language_from_request(request),
                door=_door(request, via, CONSENT),
                now=now,
            )


@for_token_holders
@once_more
def confirm(request, token):
    """Where the link of a letter asks one of QUESTIONS, and she says yes."""
    now = timezone.now()
    try:
        kind, public_id, asked_at = links.read_confirm(token, now)
        subscriber = Subscriber.objects.get(public_id=public_id)
        template, wording, via = QUESTIONS[kind]
        if request.method == "POST":
            door = _door(request, via, wording)
            signup.confirm(subscriber, asked_at, door=door, now=now, kind=kind)
            subscriber.refresh_from_db()
        is_open = signup.is_open(subscriber, asked_at, now=now, kind=kind)
    except (links.ExpiredToken, signup.UsedToken):
        return _bad_link(request, 410)
    except (links.BadToken, Subscriber.DoesNotExist):
        return _bad_link(request, 404)
    is_confirmed = request.method == "POST" and subscriber.confirmed_at is not None
    context = {
        "subscriber": subscriber,
        "address": addresses.readable(subscriber.email),
        "preferences_url": links.preferences_url(subscriber),
        "consent": wording,
        "kind": kind,
        "state": subscriber.state_at(now),
        "is_put_off": subscriber.is_put_off(now),
        # A digest is due at once.
        "is_first": is_confirmed and kind == "confirm" and not rhythm.had_one_before(subscriber),
        "is_held_up": _is_held_up(now),
        "now": now,
    }
    return render(request, template if is_open else "subscriptions/confirmed.html", context)


@for_token_holders
def preferences(request, token):
    """A reader's own page: what she reads and when, and all that she may do there (ACTIONS)."""
    try:
        subscriber = links.holder("preferences", token)
    except (links.BadToken, Subscriber.DoesNotExist):
        return _bad_link(request, 404)
    if request.method != "POST":
        return _preferences_page(request, subscriber, forms.PreferencesForm.showing(subscriber))
    if request.body and request.content_type not in FORMS:
        # Read as a form, it would be an empty one, and an empty one drops all that she reads.
        return refused(request, gettext("This page takes forms only."))
    act = ACTIONS.get(request.POST.get("action") or "save")
    if act is None:
        return refused(request, gettext("There is no such action."))
    try:
        return act(request, subscriber, token)
    except Subscriber.DoesNotExist:  # Erased by another click, in this very moment.
        return _bad_link(request, 404)


@for_token_holders
def move(request, token):
    """The page where the old or the new address says yes to a move.

    Once it is done, the link in the old mailbox leads nowhere, and doesn't say where she is.
    """
    now, taken = timezone.now(), False
    try:
        side, public_id, asked_at = links.read_move(token, now)
        subscriber = Subscriber.objects.get(public_id=public_id)
        wish = moving.find(subscriber, asked_at)
        if request.method == "POST":
            door = _door(request, f"link in the letter to the {side} address", MOVE[side])
            wish = moving.agree(subscriber, side, asked_at, door=door, now=now)
            subscriber = Subscriber.objects.get(public_id=public_id)
    except moving.Taken:
        taken = True
    except (links.ExpiredToken, moving.NotOpen):
        return _bad_link(request, 410, of_move=True)
    except (links.BadToken, Subscriber.DoesNotExist):
        return _bad_link(request, 404)
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


@csrf_exempt  # What it does is told to the address alone, and there is no cookie to protect.
@require_http_methods(["GET", "HEAD", "POST"])
def lost(request):
    """Where one who has lost her link has it sent again. It doesn't tell who reads here."""
    form = forms.AddressForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "subscriptions/lost.html", {"form": form}, status=status)
    email, now = form.cleaned_data["email"], timezone.now()
    try:
        limits.knock("lost link", request.META["REMOTE_ADDR"], now)
    except limits.TooMany as refusal:
        return too_many(request, refusal)
    with transaction.atomic():  # One, so that each time something is written, whoever it is.
        if limits.may_write_to("lost link", email, now):
            correspondence.send_link(email, now=now)
    return render(request, "subscriptions/lost_sent.html", _awaited(email, now))


def _awaited(email, now):
    """Return what a page says of a letter that was asked for, whether or not one comes."""
    return {
        "address": addresses.readable(email),
        "goes_to_files": settings.EMAIL_URL.startswith("file:"),
        "is_held_up": _is_held_up(now),
    }


def _is_held_up(now):
    """Return whether no letters leave at the moment."""
    return of_sending(now).grade != "on"


@for_token_holders
def unsubscribe(request, token):
    """Where she leaves. A link from before her digest moved does that, too, and tells no more."""
    try:
        public_id, since = links.read("unsubscribe", token)
    except links.BadToken:
        return _bad_link(request, 404)
    now, context = timezone.now(), {}
    if request.method == "POST":
        # The body is no form that is read: she leaves, however a mail program has written it.
        via = "mail program" if b"List-Unsubscribe" in request.body else "unsubscribe page"
        with suppress(Subscriber.DoesNotExist):  # One who was erased has nothing left to end.
            door = _door(request, via)
            context["under_way"] = signup.unsubscribe(public_id, door=door, now=now)
    if subscriber := Subscriber.objects.filter(public_id=public_id).first():
        context["subscriber"] = subscriber
        if not links.is_closed(subscriber, since):
            context["address"] = addresses.readable(subscriber.email)
    if request.method != "POST":
        return render(request, "subscriptions/unsubscribe.html", context)
    if "address" in context:
        context["preferences_url"] = links.preferences_url(subscriber)
        if subscriber.may_come_back(now) and now - subscriber.unsubscribed_at < UNDO_SHOWN:
            left_at = subscriber.unsubscribed_at
            undo = links.token(Letter.Kind.GOODBYE, subscriber.public_id, left_at)
            context |= {"undo_path": reverse("confirm", args=[undo]), "undo": UNDO}
    return render(request, "subscriptions/unsubscribed.html", context)


def too_many(request, refusal: limits.TooMany):
    """Turn a visitor away who knocked too often, or at a time when too many did."""
    context = {"minutes": ceil(refusal.retry_after / 60), "by": refusal.by, "door": refusal.door}
    status = 503 if refusal.by == "store" else 429
    response = render(request, "429.html", context, status=status)
    response["Retry-After"] = str(refusal.retry_after)
    add_never_cache_headers(response)
    return response


@once_more
def _save(request, subscriber, token):
    form = _sent_in(request, subscriber)
    if not form.is_valid():
        return _preferences_page(request, subscriber, form, status=400)
    wishes = form.wishes()
    changing.change(subscriber, wishes, form.settings(), now=timezone.now())
    both = sorted(wishes.muted_too(subscriber))[:50]  # An address has room for no more.
    return _done(token, "save", both=both)


def _sent_in(request, subscriber):
    form = forms.PreferencesForm(request.POST)
    form.refuse_past_pause(subscriber, schedule.local_day(timezone.now(), subscriber.zone))
    return form


def _preview(request, subscriber, token):
    """What saving would change: for a script the part of the page alone, else the page with it."""
    form = _sent_in(request, subscriber)
    if not form.is_valid():
        return _preferences_page(request, subscriber, form, status=400)
    wished = (form.wishes(), form.settings(), timezone.now())
    preview = format_html_join("", "{}", ((one(subscriber, *wished),) for one in registry.previews))
    if "part" in request.GET:
        return HttpResponse(preview)
    return _preferences_page(request, subscriber, form, preview=preview)


def _resume(request, subscriber, token):
    """End what keeps letters from her: that they came back, or were reported, or a pause."""
    now, door = timezone.now(), _door(request, "preferences page", VOUCH)
    if not (subscriber.wants and signup.lift(subscriber, now=now, door=door)):
        changing.resume(subscriber, now=now)
    subscriber.refresh_from_db()
    # Else the page itself says why none comes.
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
        "days": max(retention.KEEP_JOURNALS, unreadable.KEEP, limits.KEPT).days,
        "writes_files": settings.EMAIL_URL.startswith("file:"),
    }
    return render(request, "subscriptions/erased.html", context)


def _move(request, subscriber, token):
    form, now = forms.MoveForm(request.POST, subscriber=subscriber), timezone.now()
    try:
        if form.is_valid():
            limits.knock("new address", request.META["REMOTE_ADDR"], now)
            new_email = form.cleaned_data["new_email"]
            # Each of both addresses has had enough letters at some time.
            if limits.may_write_to("new address", subscriber.email, now):
                with transaction.atomic():
                    may_write = limits.may_write_to("new address", new_email, now)
                    moving.ask(subscriber, new_email, now=now, may_write=may_write)
            else:
                said = _("That was often today. Please try again tomorrow.")
                form.add_error("new_email", said)
    except limits.TooMany as refusal:
        return too_many(request, refusal)
    except moving.NotOpen:
        form.add_error("new_email", _("Only a digest that you get can move."))
    if form.is_valid():
        return _done(token, "move")
    shown = forms.PreferencesForm.showing(subscriber)
    return _preferences_page(request, subscriber, shown, status=400, move_form=form)


def _stay(request, subscriber, token):
    moving.stay(subscriber, now=timezone.now())
    return _done(token, "stay")


ACTIONS = {
    "save": _save,
    "preview": _preview,
    "resume": _resume,
    "reset": _reset,
    "move": _move,
    "stay": _stay,
    "export": _export,
    "erase": _erase,
}


def _done(token, action, **told):
    query = urlencode({"done": action, **told}, doseq=True)
    return redirect(f"{reverse('preferences', args=[token])}?{query}")


def _sign_up_page(request, form, status=200):
    topics = Topic.objects.offered_beside(form["topics"].value() or [])
    context = {"form": form, "consent": CONSENT, **topics.apart()}
    return render(request, "subscriptions/subscribe.html", context, status=status)


def _preferences_page(request, subscriber, form, status=200, move_form=None, preview=""):
    now = timezone.now()
    both = [one for one in request.GET.getlist("both") if one.isascii() and one.isdecimal()]
    muted = subscriber.preferences.filter(
        stance=TopicPreference.Stance.MUTE, topic__in=[int(one) for one in both if len(one) < 19]
    )
    context = {
        "move_form": move_form or forms.MoveForm(subscriber=subscriber),
        "move": moving.under_way(subscriber),
        "preview": preview,
        "subscriber": subscriber,
        "state": subscriber.state_at(now),
        "is_put_off": subscriber.is_put_off(now),
        "address": addresses.readable(subscriber.email),
        "form": form,
        **Topic.objects.offered_to(subscriber).apart(),
        "zones": forms.zones(),
        "days": schedule.named(subscriber.weekdays),
        "today": schedule.local_day(now, subscriber.zone),
        "vouch": VOUCH,
        "unsubscribe_url": links.unsubscribe_url(subscriber),
        "done": DONE.get(request.GET.get("done")),
        "both": list(muted.order_by("pk").values_list("topic__name", flat=True)),
        "panels": [panel(subscriber) for panel in registry.panels],
    }
    return render(request, "subscriptions/preferences.html", context, status=status)


def refused(request, why):
    """Return the page for a form that no page of ours would send in."""
    return render(request, "400.html", {"said": why}, status=400)


def _bad_link(request, status, of_move=False, is_closed=False):
    context = {"expired": status == 410, "of_move": of_move, "is_closed": is_closed}
    return render(request, "subscriptions/bad_link.html", context, status=status)


def _door(request, via, wording=""):
    return signup.Door(via=via, ip=request.META.get("REMOTE_ADDR") or None, wording=str(wording))
