"""The preferences page and its actions. GET shows, POST acts; a token authorises."""

from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from subscriptions import addresses, forms, hooks, schedule
from subscriptions.actions import change_address, erase, export, signup
from subscriptions.actions.preferences import change, resume
from subscriptions.bounces import unreadable
from subscriptions.db import retry_on_integrity_error
from subscriptions.delivery import retention
from subscriptions.models import Topic, TopicPreference
from subscriptions.security import rate_limits, tokens
from subscriptions.views.access import bad_request, consent_source, token_page, too_many
from subscriptions.views.signup import ADDRESS_WORKS

#: The content types of forms.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
DONE = {
    "save": _("Saved."),
    "resume": _("Welcome back."),
    "reset": _("What you said of papers is forgotten, and no paper is saved."),
    "move": _("Two letters are on their way, one to each address. Both have to say yes."),
    "stay": _("The digest stays at this address."),
}


@token_page
def preferences(request, token):
    """Show the preferences, or do one of the ACTIONS."""
    subscriber = tokens.subscriber_of("preferences", token)
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
    change(subscriber, topics, form.settings(), now=timezone.now())
    both = sorted(topics.followed_and_muted(subscriber))[:50]  # They must fit into a URL.
    return _done(token, "save", both=both)


def _preview(request, subscriber, token):
    """Show what saving would change: with `?part`, as a fragment for the page's script."""
    form = _submitted(request, subscriber)
    if not form.is_valid():
        return _preferences_page(request, subscriber, form, status=400)
    unsaved = (form.topic_selection(), form.settings(), timezone.now())
    parts = ((preview(subscriber, *unsaved),) for preview in hooks.previews)
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
    now, source = timezone.now(), consent_source(request, "preferences page", ADDRESS_WORKS)
    if not (subscriber.has_opted_in and signup.unsuppress(subscriber, now=now, source=source)):
        resume(subscriber, now=now)
    subscriber.refresh_from_db()
    # If they are not active, the page says why.
    return _done(token, "resume" if subscriber.state_at(now) == "active" else "")


def _reset(request, subscriber, token):
    erase.reset(subscriber)
    return _done(token, "reset")


def _export(request, subscriber, token):
    response = JsonResponse(export.export(subscriber), json_dumps_params={"indent": 2})
    response["Content-Disposition"] = 'attachment; filename="paperboy.json"'
    return response


def _erase(request, subscriber, token):
    for_good = request.POST.get("never_again") == "yes"
    erase.erase(subscriber, now=timezone.now(), for_good=for_good)
    context = {
        "for_good": for_good,
        "contact": settings.CONTACT_EMAIL,
        "days": max(retention.KEEP_JOURNALS, unreadable.KEEP, rate_limits.KEEP).days,
        "writes_files": settings.EMAIL_URL.startswith("file:"),
    }
    return render(request, "subscriptions/erased.html", context)


def _move(request, subscriber, token):
    form, now = forms.MoveForm(request.POST, subscriber=subscriber), timezone.now()
    try:
        if form.is_valid():
            rate_limits.check_visitor("new address", request.META["REMOTE_ADDR"], now)
            new_email = form.cleaned_data["new_email"]
            if rate_limits.check_mailbox("new address", subscriber.email, now):
                with transaction.atomic():
                    may_write = rate_limits.check_mailbox("new address", new_email, now)
                    change_address.request(subscriber, new_email, now=now, may_write=may_write)
            else:
                message = _("That was often today. Please try again tomorrow.")
                form.add_error("new_email", message)
    except rate_limits.TooManyAttempts as refusal:
        return too_many(request, refusal)
    except change_address.NotOpen:
        form.add_error("new_email", _("Only a digest that you get can move."))
    if form.is_valid():
        return _done(token, "move")
    shown = forms.PreferencesForm.showing(subscriber)
    return _preferences_page(request, subscriber, shown, status=400, move_form=form)


def _keep_address(request, subscriber, token):
    change_address.keep_address(subscriber, now=timezone.now())
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
        "move": change_address.pending(subscriber),
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
        "address_works": ADDRESS_WORKS,
        "unsubscribe_url": tokens.unsubscribe_url(subscriber),
        "done": DONE.get(request.GET.get("done")),
        "both": list(muted.order_by("pk").values_list("topic__name", flat=True)),
        "panels": [panel(subscriber) for panel in hooks.panels],
    }
    return render(request, "subscriptions/preferences.html", context, status=status)
