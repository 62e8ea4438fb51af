"""The actions of the preferences page. GET shows, POST acts; a token authorises."""

from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from digest.personalization import feedback
from digest.views import chips
from digest.views.access import bad_request, consent_source, token_page
from digest.views.forms.interests import InterestsForm
from digest.views.preferences.forms import JoinForm, MoveForm
from digest.views.preferences.page import DONE, TAB_FORMS, render_difference, render_page
from digest.views.subscribing.confirm import ADDRESS_WORKS
from subscriptions import schedule
from subscriptions.actions import change_address, erase, export, groups, signup
from subscriptions.actions.preferences import change, resume
from subscriptions.bounces import unreadable
from subscriptions.db import retry_on_integrity_error
from subscriptions.models import Membership
from subscriptions.security import api_tokens, rate_limits, tokens

#: The content types of forms.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@token_page
def preferences(request, token):
    """Show the preferences, or do one of the ACTIONS."""
    subscriber = tokens.subscriber_of("preferences", token)
    if request.method != "POST":
        return render_page(request, subscriber)
    if request.body and request.content_type not in FORMS:
        # It would be read as an empty form, which drops all topics.
        return bad_request(request, gettext("This page takes forms only."))
    if any(name.startswith("edit_") for name in request.POST):  # A button of a chip.
        return _submit(request, subscriber, token, "preview", ["interests"])
    action = ACTIONS.get(request.POST.get("action") or "save")
    if action is None:
        return bad_request(request, gettext("There is no such action."))
    return action(request, subscriber, token)


@retry_on_integrity_error
def _submit(request, subscriber, token, action, tabs=tuple(TAB_FORMS)):
    """Save the forms of these tabs, or show what saving them would change. Other tabs are kept."""
    now, bound_forms = timezone.now(), {}
    for tab in tabs:
        if tab == "interests":
            params = chips.apply_edit(request.POST, subscriber)
            bound_forms[tab] = InterestsForm(params, subscriber=subscriber)
        else:
            bound_forms[tab] = TAB_FORMS[tab](request.POST)
    if delivery_form := bound_forms.get("delivery"):
        delivery_form.refuse_past_pause(subscriber, schedule.local_day(now, subscriber.zone))
    if not all(form.is_valid() for form in bound_forms.values()):
        return render_page(request, subscriber, bound_forms, status=400)
    topics = bound_forms["interests"].topic_selection() if "interests" in bound_forms else None
    settings = delivery_form.settings() if delivery_form else {}
    if action == "save":
        change(subscriber, topics, settings, now=now)
        # At most 50: they must fit into a URL.
        both_ids = sorted(topics.followed_and_muted(subscriber))[:50] if topics else []
        return _redirect(token, "save", tab=tabs[0] if len(tabs) == 1 else [], both=both_ids)
    preview_html = render_difference(subscriber, topics, settings, now)
    return render_page(request, subscriber, bound_forms, preview=preview_html)


def _resume(request, subscriber, token):
    """End what stops the digests: a suppression, or else a pause."""
    now, source = timezone.now(), consent_source(request, "preferences page", ADDRESS_WORKS)
    if not (subscriber.has_opted_in and signup.unsuppress(subscriber, now=now, source=source)):
        resume(subscriber, now=now)
    subscriber.refresh_from_db()
    # If they are not active, the page says why.
    return _redirect(token, "resume" if subscriber.state_at(now) == "active" else "")


def _reset(request, subscriber, token):
    feedback.reset(subscriber)
    return _redirect(token, "reset", tab="learned")


def _export(request, subscriber, token):
    response = JsonResponse(export.export(subscriber), json_dumps_params={"indent": 2})
    response["Content-Disposition"] = 'attachment; filename="paperboy.json"'
    return response


def _erase(request, subscriber, token):
    for_good = request.POST.get("never_again") == "yes"
    was_invited = hasattr(subscriber, "invitation")
    erase.erase(subscriber, now=timezone.now(), for_good=for_good)
    context = {
        "for_good": for_good,
        "was_invited": was_invited,
        "contact": settings.CONTACT_EMAIL,
        "days": max(unreadable.KEEP, rate_limits.KEEP).days,
        "writes_files": settings.EMAIL_URL.startswith("file:"),
    }
    return render(request, "digest/preferences/erased.html", context)


def _move(request, subscriber, token):
    form, now = MoveForm(request.POST, subscriber=subscriber), timezone.now()
    if form.is_valid():
        rate_limits.check_visitor("new address", request.META["REMOTE_ADDR"], now)
        new_email = form.cleaned_data["new_email"]
        try:
            if rate_limits.check_mailbox("new address", subscriber.email, now):
                with transaction.atomic():
                    may_write = rate_limits.check_mailbox("new address", new_email, now)
                    change_address.request(subscriber, new_email, now=now, may_write=may_write)
                return _redirect(token, "move", tab="data")
            form.add_error("new_email", _("Too many changes today. Please try again tomorrow."))
        except change_address.NoPendingMove:
            form.add_error("new_email", _("Only an active digest can change its address."))
    return render_page(request, subscriber, status=400, move_form=form)


def _keep_address(request, subscriber, token):
    change_address.keep_address(subscriber, now=timezone.now())
    return _redirect(token, "stay", tab="data")


def _make_token(request, subscriber, token):
    """Show the API token in the answer itself: it must not be in a URL."""
    api_token = api_tokens.make(subscriber, timezone.now())
    return render_page(request, subscriber, api_token=api_token)


def _revoke_token(request, subscriber, token):
    api_tokens.revoke(subscriber)
    return _redirect(token, "revoke_token", tab="data")


def _change_membership(request, subscriber, token, action):
    """Join, leave, or switch recommendations on ("take") or off ("refuse")."""
    now, source = timezone.now(), consent_source(request, "preferences page")
    memberships = subscriber.memberships.select_related("group")
    try:
        membership = memberships.get(pk=request.POST.get("membership"))
        if action == "join":
            form = JoinForm(membership, request.POST)
            if not form.is_valid():
                return render_page(request, subscriber, status=400, join_form=form)
            source = replace(source, wording=form.consent)
            groups.join(membership, form.cleaned_data["name"], source=source, now=now)
        elif action == "leave":
            groups.leave(membership, source=source, now=now)
        else:
            memberships.filter(pk=membership.pk).update(takes_recommendations=action == "take")
    except (ValueError, Membership.DoesNotExist):
        return bad_request(request, gettext("You are not invited to this group."))
    return _redirect(token, action if action in DONE else "save", tab="groups")


ACTIONS = {
    **{action: partial(_submit, action=action) for action in ("save", "preview")},
    **{
        f"{action}_{tab}": partial(_submit, action=action, tabs=[tab])
        for action in ("save", "preview")
        for tab in TAB_FORMS
    },
    "resume": _resume,
    "reset": _reset,
    "move": _move,
    "stay": _keep_address,
    "token": _make_token,
    "revoke_token": _revoke_token,
    **{
        name: partial(_change_membership, action=name)
        for name in ("join", "leave", "take", "refuse")
    },
    "export": _export,
    "erase": _erase,
}


def _redirect(token, action, **params):
    query = urlencode({"done": action, **params}, doseq=True)
    return redirect(f"{reverse('preferences', args=[token])}?{query}")
