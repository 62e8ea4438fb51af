"""The panel's page for a reader: what she got and why, and the letters that she could get now."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.views.decorators.http import require_safe
from unfold.decorators import action

from digest import days, home_page, previews, replanning, specimens
from subscriptions import mail, schedule
from subscriptions.admin.acts import Act, LeftAlone, equip
from subscriptions.admin.parts import letter_badge
from subscriptions.admin.subscribers import SubscriberAdmin
from subscriptions.models import Subscriber

admin.site.unregister(Subscriber)


def _plan_anew(subscriber, told, now):
    try:
        with home_page.turn():
            letter = replanning.plan_anew(subscriber, now)
    except replanning.Refused as reason:
        raise LeftAlone(f"{str(reason).capitalize()}.") from None
    except home_page.Busy:
        raise LeftAlone("Many are looking in this moment. Please try again.") from None
    return f"Planned the digest of {letter.day} anew."


PLAN_ANEW = Act(
    name="plan_anew",
    title="Plan the day's digest anew",
    question="The digest of the day is ranked and sent anew, where it surely never left, to:",
    consequence="It has the papers that are new to her now, and leaves at once. Where it was sent, "
    "or may have been, nothing happens: nobody gets two for one day. The next one is put off where "
    "it would come within twelve hours.",
    icon="replay",
    done="Planned anew",
    do=_plan_anew,
    afterwards=replanning.forget_papers,
    fits=lambda subscriber, now: not replanning.why_not(subscriber, now),
)


@admin.register(Subscriber)
@equip(PLAN_ANEW)
class ReaderAdmin(SubscriberAdmin):
    """The lower room's page of a subscriber, with the letters that she could get now."""

    actions_detail = ["letters", *SubscriberAdmin.actions_detail]
    change_form_outer_after_template = "admin/subscriptions/subscriber/days.html"

    def get_urls(self):
        view = self.admin_site.admin_view(self.letter)
        name = "subscriptions_subscriber_letter"
        return [path("<path:object_id>/letters/<slug:name>/", view, name=name), *super().get_urls()]

    def render_change_form(self, request, context, obj=None, **kwargs):
        now = timezone.now()
        context["days"] = [
            (one, letter_badge(one.digest.letter) if one.digest else "")
            for one in days.of(obj, now)
        ]
        if latest := replanning.latest(obj, now):
            context["acts_note"] = _why_not_anew(latest, obj, now)
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @action(
        description="Letters as she would get them",
        url_path="letters",
        permissions=["view"],
        icon="drafts",
    )
    @method_decorator(require_safe)
    def letters(self, request, object_id):
        """Show one of the letters, with its headers and its text part. Writes nothing."""
        subscriber, name = self.get_object(request, object_id), request.GET.get("letter", "digest")
        specimen, reason = self._specimen(subscriber, name)
        today = schedule.local_day(timezone.now(), subscriber.zone)
        context = {
            **self.admin_site.each_context(request),
            "title": "Letters as she would get them",
            "opts": self.opts,
            "original": subscriber,
            "state": self.state(subscriber),
            "titles": specimens.TITLES,
            "name": name,
            "specimen": specimen,
            "reason": reason,
            "had": subscriber.digests.filter(day=today).first() if name == "digest" else None,
        }
        return TemplateResponse(request, "admin/subscriptions/subscriber/letters.html", context)

    @method_decorator([require_safe, previews.shut_in])
    def letter(self, request, object_id, name):
        """Show the HTML of one of the letters, for the frame on the page above."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        specimen, _ = self._specimen(self.get_object(request, object_id), name)
        if specimen is None:
            raise Http404
        return previews.page(specimen.content.html)

    def _specimen(self, subscriber, name):
        """Return the letter of this name, or None and why she would get none."""
        if subscriber is None or name not in specimens.TITLES:
            raise Http404
        try:
            return specimens.written(name, subscriber, timezone.now()), ""
        except mail.NothingToSay as reason:
            return None, str(reason)


def _why_not_anew(digest, subscriber, now) -> str:
    why = replanning.why_not(subscriber, now)
    return f"Her digest of {date_format(digest.day)} is not planned anew: {why}." if why else ""
