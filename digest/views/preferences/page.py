"""What the preferences page shows: a tab for each subject, and what a change would do."""

from django.conf import settings
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.translation import gettext_lazy as _

from digest.personalization import feedback
from digest.planning import slots
from digest.views import chips, feeds
from digest.views.forms.fields import zones
from digest.views.forms.interests import InterestsForm
from digest.views.preferences.forms import DeliveryForm, JoinForm, MoveForm
from digest.views.subscribing.confirm import ADDRESS_WORKS
from subscriptions import addresses, schedule
from subscriptions.actions import change_address
from subscriptions.models import Topic, TopicPreference
from subscriptions.security import tokens

MAX_TITLES = 20  # Of papers that a change would add, and of those that it would remove.
MAX_WORDS = 8  # That were learned.

#: The forms that are saved, by tab. Each may be saved alone, or both with one request.
TAB_FORMS = {"interests": InterestsForm, "delivery": DeliveryForm}
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


def render_page(
    request, subscriber, bound_forms=None, status=200, move_form=None, join_form=None, **extra
):
    """Render all tabs. Open the first with an error, else the first that was sent, else `?tab`."""
    now, bound_forms = timezone.now(), bound_forms or {}
    wrong_tabs = [tab for tab, form in bound_forms.items() if form.errors]
    memberships = subscriber.memberships.select_related("group").order_by("group__name")
    join_forms = [
        join_form if join_form and join_form.membership == row else JoinForm(row)
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
        "entries": chips.chips_of_form(tab_forms["interests"], now),
        "undo": {
            name: chips.undo_button(name, tab_forms["interests"].data) for name in chips.FIELDS
        },
        "wrong_forms": [form for form in (move_form, join_form) if form]
        or [bound_forms[tab] for tab in wrong_tabs],
        "move_form": move_form or MoveForm(subscriber=subscriber),
        "move": change_address.pending_move(subscriber),
        "subscriber": subscriber,
        "state": subscriber.state_at(now),
        "is_delayed": subscriber.is_delayed(now),
        "address": addresses.readable(subscriber.email),
        **Topic.objects.offered_to(subscriber).grouped(),
        "zones": zones(),
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
        "empty_digests_reason": _empty_digests_reason(subscriber, now),
        "feeds": {"atom": feeds.url(subscriber), "json": feeds.url(subscriber, feeds.JsonFeed)},
        "token": tokens.own_token("preferences", subscriber),
        "words": feedback.learned_words(subscriber)[:MAX_WORDS],
        "in_library": subscriber.library.count(),
        **extra,  # `preview`, or a new `api_token`.
    }
    return render(request, "digest/preferences/page.html", context, status=status)


def _empty_digests_reason(subscriber, now) -> str:
    """Return why the latest digests of an active subscriber have no papers."""
    from digest.planning import explain  # numpy, which only processes that rank import.

    is_active = subscriber.state_at(now) == "active"
    return explain.explain_empty_digests(subscriber, now) if is_active else ""


def render_difference(subscriber, selection, settings, now) -> str:
    """Return the papers of the last days that new settings would add and remove, as HTML."""
    # The model and numpy, which only processes that rank import.
    from digest.indexing import model_store
    from digest.personalization.profiles import profile_for
    from digest.planning import preview

    size, wants_near = settings.get("size", subscriber.size), settings.get("wants_near")
    new_profile = profile_for(selection, size, subscriber, wants_near=wants_near)
    try:
        with slots.slot():
            diff = preview.compare(subscriber, new_profile, now, weekdays=settings.get("weekdays"))
    except model_store.NotFitted:
        return render_to_string("digest/preferences/_preview_diff.html", {"is_early": True})
    except slots.Busy:
        return render_to_string("digest/preferences/_preview_diff.html", {"is_busy": True})
    context = {"difference": diff, "limit": f":{MAX_TITLES}", "shown": MAX_TITLES}
    return render_to_string("digest/preferences/_preview_diff.html", context)
