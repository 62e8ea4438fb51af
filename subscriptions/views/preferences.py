"""The preferences page and its actions. GET shows, POST acts; a token authorises."""

from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from subscriptions import addresses, forms, hooks, schedule
from subscriptions.actions import change_address, erase, export, groups, signup
from subscriptions.actions.preferences import change, resume
from subscriptions.bounces import unreadable
from subscriptions.db import retry_on_integrity_error
from subscriptions.models import Membership, Topic, TopicPreference
from subscriptions.security import api_tokens, rate_limits, tokens
from subscriptions.views.access import bad_request, consent_source, token_page
from subscriptions.views.signup import ADDRESS_WORKS

#: The content types of forms.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
#: The forms that are saved, by tab. Each may be saved alone, or both with one request.
TAB_FORMS = {"interests": forms.InterestsForm, "delivery": forms.DeliveryForm}
TABS = {
    "interests": _("Interests"),
    "delivery": _("Delivery"),
    "learned": _("Learned"),
    "groups": _("Groups"),  # Only for those who were invited to one.
    "data": _("Data"),
}
DONE = {
    "save": _("Saved."),
    "resume": _("Welcome back."),
    "reset": _("Deleted: your feedback, your saved papers and your library."),
    "move": _("We sent a confirmation link to each address. Both must confirm."),
    "stay": _("Your digest stays at this address."),
    "revoke_token": _("Your API token is revoked."),
    "join": _("Saved. The group’s members see your name."),
    "leave": _("You left the group. Your name in it is deleted."),
}


@token_page
def preferences(request, token):
    """Show the preferences, or do one of the ACTIONS."""
    subscriber = tokens.subscriber_of("preferences", token)
    if request.method != "POST":
        return _preferences_page(request, subscriber)
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
    """Save the forms of these tabs, or show what saving them would change.

    With `?part`, that is shown as a fragment for the page's script. Other tabs are kept.
    """
    now, bound_forms = timezone.now(), {}
    for tab in tabs:
        if tab == "interests":
            params = hooks.edit_interests(request.POST, subscriber)
            bound_forms[tab] = forms.InterestsForm(params, subscriber=subscriber)
        else:
            bound_forms[tab] = TAB_FORMS[tab](request.POST)
    if delivery_form := bound_forms.get("delivery"):
        delivery_form.refuse_past_pause(subscriber, schedule.local_day(now, subscriber.zone))
    if not all(form.is_valid() for form in bound_forms.values()):
        return _preferences_page(request, subscriber, bound_forms, status=400)
    topics = bound_forms["interests"].topic_selection() if "interests" in bound_forms else None
    settings = delivery_form.settings() if delivery_form else {}
    if action == "save":
        change(subscriber, topics, settings, now=now)
        # At most 50: they must fit into a URL.
        both_ids = sorted(topics.followed_and_muted(subscriber))[:50] if topics else []
        return _redirect(token, "save", tab=tabs[0] if len(tabs) == 1 else [], both=both_ids)
    previews = ((preview(subscriber, topics, settings, now),) for preview in hooks.previews)
    preview_html = format_html_join("", "{}", previews)
    if "part" in request.GET:
        html_by_field = hooks.show_interests(bound_forms["interests"], now) if topics else {}
        lists_html = format_html_join("", '<div id="entries_{}">{}</div>', html_by_field.items())
        return HttpResponse(format_html('{}<div class="change">{}</div>', lists_html, preview_html))
    return _preferences_page(request, subscriber, bound_forms, preview=preview_html)


def _resume(request, subscriber, token):
    """End what stops the digests: a suppression, or else a pause."""
    now, source = timezone.now(), consent_source(request, "preferences page", ADDRESS_WORKS)
    if not (subscriber.has_opted_in and signup.unsuppress(subscriber, now=now, source=source)):
        resume(subscriber, now=now)
    subscriber.refresh_from_db()
    # If they are not active, the page says why.
    return _redirect(token, "resume" if subscriber.state_at(now) == "active" else "")


def _reset(request, subscriber, token):
    erase.reset(subscriber)
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
    return render(request, "subscriptions/erased.html", context)


def _move(request, subscriber, token):
    form, now = forms.MoveForm(request.POST, subscriber=subscriber), timezone.now()
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
    return _preferences_page(request, subscriber, status=400, move_form=form)


def _keep_address(request, subscriber, token):
    change_address.keep_address(subscriber, now=timezone.now())
    return _redirect(token, "stay", tab="data")


def _make_token(request, subscriber, token):
    """Show the API token in the answer itself: it must not be in a URL."""
    api_token = api_tokens.make(subscriber, timezone.now())
    return _preferences_page(request, subscriber, api_token=api_token)


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
            form = forms.JoinForm(membership, request.POST)
            if not form.is_valid():
                return _preferences_page(request, subscriber, status=400, join_form=form)
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


def _preferences_page(
    request, subscriber, bound_forms=None, status=200, move_form=None, join_form=None, **extra
):
    """Render all tabs. Open the first with an error, else the first that was sent, else `?tab`."""
    now, bound_forms = timezone.now(), bound_forms or {}
    wrong_tabs = [tab for tab, form in bound_forms.items() if form.errors]
    memberships = subscriber.memberships.select_related("group").order_by("group__name")
    join_forms = [
        join_form if join_form and join_form.membership == row else forms.JoinForm(row)
        for row in memberships
    ]
    tabs = {name: label for name, label in TABS.items() if name != "groups" or join_forms}
    requested_tab = "groups" if join_form else request.GET.get("tab")
    default_tab = requested_tab if requested_tab in tabs else "interests"
    tab = next(iter(wrong_tabs or bound_forms), default_tab)
    ids = [text for text in request.GET.getlist("both") if text.isascii() and text.isdecimal()]
    muted_topics = subscriber.preferences.filter(
        stance=TopicPreference.Stance.MUTE, topic__in=[int(text) for text in ids if len(text) < 19]
    )
    tab_forms = {tab: bound_forms.get(tab) or TAB_FORMS[tab].of(subscriber) for tab in TAB_FORMS}
    context = {
        "tab": "data" if move_form or "api_token" in extra else tab,
        "tabs": tabs.items(),
        "join_forms": join_forms,
        "forms": tab_forms,
        "entries": hooks.show_interests(tab_forms["interests"], now),
        "wrong_forms": [form for form in (move_form, join_form) if form]
        or [bound_forms[tab] for tab in wrong_tabs],
        "move_form": move_form or forms.MoveForm(subscriber=subscriber),
        "move": change_address.pending_move(subscriber),
        "subscriber": subscriber,
        "state": subscriber.state_at(now),
        "is_delayed": subscriber.is_delayed(now),
        "address": addresses.readable(subscriber.email),
        **Topic.objects.offered_to(subscriber).grouped(),
        "zones": forms.zones(),
        "weekdays": zip(
            schedule.WEEKDAY_NAMES, WEEKDAYS_ABBR.values(), WEEKDAYS.values(), strict=True
        ),
        "days": schedule.weekday_names(subscriber.weekdays),
        "today": schedule.local_day(now, subscriber.zone),
        "has_summaries": bool(settings.LLM_URL),
        "address_works": ADDRESS_WORKS,
        "unsubscribe_url": tokens.unsubscribe_url(subscriber),
        "done": DONE.get(request.GET.get("done")),
        "both": list(muted_topics.order_by("pk").values_list("topic__name", flat=True)),
        "panels": {name: [panel(subscriber) for panel in hooks.panels[name]] for name in TABS},
        **extra,  # `preview`, or a new `api_token`.
    }
    return render(request, "subscriptions/preferences.html", context, status=status)
