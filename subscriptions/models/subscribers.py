"""Subscribers: their address, settings and state, and when their next digest is due."""

import uuid
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, Count, Q, Value, When
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from subscriptions import addresses, schedule

#: Files in a system's zone database that are no time zones.
NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})
#: A first digest, due when the subscriber confirms, is planned within this time.
FIRST_DIGEST_WITHIN = timedelta(hours=1)
#: In this time, an address gets one goodbye email and can undo one unsubscribing. Less than from
#: one daily digest to the next, since a mail program may unsubscribe by itself from each.
GOODBYE_INTERVAL = timedelta(hours=20)
STATES = ("active", "pending", "paused", "unsubscribed", "suppressed")
#: State, field, and whether the date is set in this state. The first that holds is the state; if
#: none does, they are paused or active.
STATE_DATES = (
    ("suppressed", "suppressed_at", True),
    ("unsubscribed", "unsubscribed_at", True),
    ("pending", "confirmed_at", False),
)


@cache
def zone_names() -> frozenset[str]:
    """Return the IANA time zones that this machine knows. Finding them takes 10 ms."""
    return frozenset(available_timezones() - NO_ZONES)


def known_zone(name):
    """Raise ValidationError if `name` is not an IANA time zone."""
    if name not in zone_names():
        raise ValidationError(
            _(
                "“%(name)s” is not a time zone such as Europe/Berlin. "
                "Try the capital, or a bigger city near you."
            ),
            code="timezone",
            params={"name": name},
        )


def languages():
    """Return the choices of languages. Migrations refer to this function, not to its values."""
    return settings.LANGUAGES


def summary_languages():
    """Return the choices of languages of summaries, as `languages` does."""
    return settings.SUMMARY_LANGUAGES


class SubscriberQuerySet(models.QuerySet):
    def with_address(self, address):
        """Filter by address, ignoring case: at most one."""
        return self.alias(identity=Lower("email")).filter(identity=address.lower())

    def subscribed(self):
        """Filter by confirmed and neither unsubscribed nor suppressed. Includes the paused."""
        return self.filter(
            confirmed_at__isnull=False, unsubscribed_at__isnull=True, suppressed_at__isnull=True
        )

    def people(self):
        """Filter by subscribers with an email address, mailing lists included: all but channels."""
        return self.filter(channel="")

    def due(self, now):
        return self.subscribed().filter(next_due_at__lte=now)

    def in_state(self, state, now):
        return self.alias(state=_state_at(now)).filter(state=state)

    def count_by_state(self, now) -> dict[str, int]:
        counts = self.people().order_by().values_list(_state_at(now)).annotate(Count("pk"))
        return dict.fromkeys(STATES, 0) | dict(counts)


def _state_at(now):
    """Return the expression of what `Subscriber.state_at` returns."""
    zones_by_day = {}  # A pause ends with a local day: there are at most three at any moment.
    paused_subscribers = Subscriber.objects.filter(paused_until__isnull=False)
    for name in paused_subscribers.values_list("timezone", flat=True).distinct():
        day = schedule.local_day(now, Subscriber(timezone=name).zone)
        zones_by_day.setdefault(day, []).append(name)
    pause_cases = [
        When(timezone__in=names, paused_until__gt=day, then=Value("paused"))
        for day, names in zones_by_day.items()
    ]
    date_cases = [
        When(**{f"{field}__isnull": not is_set}, then=Value(state))
        for state, field, is_set in STATE_DATES
    ]
    return Case(*date_cases, *pause_cases, default=Value("active"))


class Subscriber(models.Model):
    """An email address with its settings and state.

    Each state has a date, since when it holds (`state_at`). Links carry `public_id`, never the
    address or the primary key.
    """

    class Channel(models.TextChoices):
        """How a message is posted to a channel, whose format is in digest/channels/formats.py."""

        SLACK = "slack", "Slack, Mattermost, Rocket.Chat or Discord"
        TEAMS = "teams", "Microsoft Teams"
        TELEGRAM = "telegram", "Telegram"
        APPRISE = "apprise", "Apprise (Zulip, Matrix, ntfy, Mastodon and others)"
        JSON = "json", "JSON webhook"

    class Suppression(models.TextChoices):
        BOUNCED = "bounced", "bounced"
        COMPLAINED = "complained", "spam report"
        OPERATOR = "operator", "blocked by an operator"

    email = models.EmailField(max_length=254)
    # A channel, such as a room of a chat, is a subscriber whose digests are posted to a web
    # address. Its `email` is made up, and never written to.
    channel = models.CharField(
        "kind", max_length=10, choices=Channel, blank=True, default="", db_default=""
    )
    title = models.CharField(max_length=100, blank=True, default="", db_default="")
    secret = models.TextField(
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Encrypted web address of a channel.",
    )
    chat_id = models.CharField(
        "chat ID", max_length=100, blank=True, default="", db_default="", help_text="On Telegram."
    )
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    timezone = models.CharField("time zone", max_length=64, default="UTC", validators=[known_zone])
    hour = models.PositiveSmallIntegerField(
        default=7, validators=[MaxValueValidator(23)], help_text="Local hour of delivery, 0 to 23."
    )
    size = models.PositiveSmallIntegerField(
        "papers per digest",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="At most.",
    )

    weekdays = models.PositiveSmallIntegerField(
        "delivery days",
        default=schedule.EVERY_DAY,
        db_default=schedule.EVERY_DAY,
        validators=[MinValueValidator(1), MaxValueValidator(schedule.EVERY_DAY)],
        help_text="As bits, Monday's the lowest.",
    )
    is_monthly = models.BooleanField(
        "once a month",
        default=False,
        db_default=False,
        help_text="On the first of the delivery days in a month.",
    )

    language = models.CharField(
        max_length=16, choices=languages, default="en", help_text="Language of emails."
    )
    summary_language = models.CharField(  # Empty: the authors' sentences.
        max_length=16, choices=summary_languages, blank=True, default="", db_default=""
    )
    wants_quiet_days = models.BooleanField(
        "note on days without matches",
        default=False,
        help_text="A short email when nothing matches.",
    )
    wants_near = models.BooleanField(
        "near misses",
        default=False,
        db_default=False,
        help_text="Up to three papers close to their interests, if the digest has room.",
    )
    takes_messages = models.BooleanField(
        "messages from the operator", default=True, db_default=True
    )
    learns = models.BooleanField(
        "learns from feedback", default=True, help_text="Whether feedback changes the ranking."
    )

    asked_at = models.DateTimeField("signed up at", help_text="The latest sign-up.")
    pending_settings = models.JSONField(
        default=dict,
        blank=True,
        help_text="Settings of a new sign-up after unsubscribing, until confirmed.",
    )
    confirmed_at = models.DateTimeField(null=True, blank=True)
    subscribed_at = models.DateTimeField(
        null=True, blank=True, help_text="When they last confirmed a sign-up."
    )
    paused_until = models.DateField(null=True, blank=True)
    unsubscribed_at = models.DateTimeField(null=True, blank=True)
    suppressed_at = models.DateTimeField(null=True, blank=True)
    suppressed_by = models.CharField(
        max_length=10, choices=Suppression, blank=True, help_text="Why no email is sent to them."
    )
    suppressed_reason = models.CharField(max_length=200, blank=True)
    lifted_at = models.DateTimeField(
        null=True, blank=True, help_text="When the suppression was lifted."
    )
    moved_at = models.DateTimeField(
        null=True, blank=True, help_text="When they last changed address."
    )
    # Computed by `schedule_from`, `schedule_at` and `reschedule` below. Called when the address is
    # confirmed, settings change (actions/), a digest was planned (digest/planning/plan.py) or the
    # last one is too recent (digest/planning/spacing.py).
    next_due_at = models.DateTimeField(
        "next digest",
        null=True,
        blank=True,
        db_index=True,
        help_text="When their next digest is planned.",
    )

    topics = models.ManyToManyField("Topic", through="TopicPreference", related_name="subscribers")

    objects = SubscriberQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="one_subscriber_an_address",
                violation_error_message="There is a subscriber with this address.",
            ),
            models.CheckConstraint(condition=Q(hour__lte=23), name="hour_of_a_day"),
            models.CheckConstraint(condition=Q(size__gte=1, size__lte=50), name="size_1_to_50"),
            models.CheckConstraint(
                condition=Q(weekdays__gte=1, weekdays__lte=schedule.EVERY_DAY),
                name="a_day_of_the_week",
            ),
        ]

    def __str__(self):
        return self.title or addresses.readable(self.email)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone, or UTC if this machine's zone database no longer has it."""
        with suppress(ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder, as "Asia".
            return ZoneInfo(self.timezone)
        return ZoneInfo("UTC")

    @property
    def language_or_default(self) -> str:
        """The language, or English if the chosen one is no longer offered."""
        return self.language if self.language in dict(languages()) else "en"

    def state_at(self, now: datetime) -> str:
        """Return one of `STATES`."""
        for state, field, is_set in STATE_DATES:
            if (getattr(self, field) is not None) == is_set:
                return state
        if self.paused_until and schedule.local_day(now, self.zone) < self.paused_until:
            return "paused"
        return "active"

    @property
    def has_opted_in(self) -> bool:
        """Whether they confirmed and did not unsubscribe. They may be paused or suppressed."""
        return self.confirmed_at is not None and self.unsubscribed_at is None

    @property
    def reachable_at(self) -> datetime | None:
        """When the address was last known to be right. Bounces of earlier letters prove nothing."""
        return max(filter(None, (self.confirmed_at, self.lifted_at)), default=None)

    def locked(self) -> "Subscriber":
        """Return the row as it is now, locked. A worker's final check takes the same lock."""
        return Subscriber.objects.select_for_update().get(pk=self.pk)

    def can_resubscribe(self, asked_at: datetime) -> bool:
        """Return whether the link of a goodbye letter of `asked_at` still resubscribes them.

        Not if they had unsubscribed before in the same GOODBYE_INTERVAL: then they sign up again.
        """
        ended_at = self.unsubscribed_at
        if ended_at is None or ended_at > asked_at or not self.confirmed_at or self.suppressed_at:
            return False
        goodbyes = self.letters.filter(kind="goodbye", created_at__gt=ended_at - GOODBYE_INTERVAL)
        return not goodbyes.filter(created_at__lt=ended_at).exists()

    def can_confirm_address(self, asked_at: datetime) -> bool:
        """Return whether they can answer the question of `asked_at` if their address works.

        Only after bounces before `asked_at`. After a complaint, nobody is asked.
        """
        has_bounced = self.suppressed_by == self.Suppression.BOUNCED
        is_past = self.suppressed_at is not None and self.suppressed_at <= asked_at
        return self.has_opted_in and has_bounced and is_past

    def accepts_messages(self, asked_at: datetime) -> bool:
        """Return whether they get messages of operators, whenever these were written."""
        return self.takes_messages

    def unsuppress(self, now: datetime) -> None:
        """Allow letters again. Does not save."""
        self.suppressed_at, self.lifted_at = None, now
        self.suppressed_by = self.suppressed_reason = ""
        self.reschedule(now)

    # ---- When the next digest is due

    @property
    def is_daily(self) -> bool:
        return self.weekdays == schedule.EVERY_DAY and not self.is_monthly

    def is_delayed(self, now: datetime) -> bool:
        """Return whether the next digest is due at another hour than theirs, because of a gap."""
        if self.next_due_at is None or self.next_due_at <= now:
            return False
        day = schedule.local_day(self.next_due_at, self.zone)
        return self.next_due_at != schedule.due_moment(day, self.hour, self.zone)

    def first_day_after(self, day: date) -> date:
        """Return the first day that may have the digest after that of `day`."""
        return schedule.first_of_next_month(day) if self.is_monthly else day + timedelta(days=1)

    def schedule_from(self, day: date) -> None:
        """Set `next_due_at` to the first digest on or after local `day`. Does not save."""
        day = max(day, self.paused_until or day)
        _, self.next_due_at = schedule.next_due(day, self.hour, self.zone, self.weekdays)

    def schedule_at(self, moment: datetime) -> None:
        """Set `next_due_at` to `moment`, or to the next digest day. Does not save."""
        day = schedule.local_day(moment, self.zone)
        if schedule.is_digest_day(day, self.weekdays):
            self.next_due_at = moment
        else:
            self.schedule_from(day)

    def reschedule(self, now: datetime) -> None:
        """Recompute `next_due_at` after a settings change. Does not save.

        At most one digest per local day or month, and at least `min_gap_after` the previous one. A
        month whose digest failed gets it on the next digest day.
        """
        if not self.has_opted_in:
            return
        digests = list(self.letters.filter(day__isnull=False).order_by("-day")[:3])
        day = schedule.local_day(now, self.zone)
        if digests:
            day = max(day, digests[0].day + timedelta(days=1))
        for letter in digests:
            has_failed = letter.state in (letter.State.FAILED, letter.State.MISSED)
            if not has_failed and letter.reason not in STATES:  # Nor was it skipped in a pause.
                day = max(day, self.first_day_after(letter.day))
        self.schedule_from(day)
        # An hour that was past when they chose it is not late.
        lower_bounds = [self.next_due_at, now]
        for letter in digests:
            if letter.state in (letter.State.ACCEPTED, *letter.OPEN):
                sent_at = letter.ended_at or letter.left_at
                sent_at = now if letter.state in letter.UNSENT else sent_at
                lower_bounds.append(sent_at + self.min_gap_after(letter))
        self.schedule_at(max(lower_bounds))

    def min_gap_after(self, letter) -> timedelta:
        """Return how long after this digest the next one may be sent.

        The gap is shorter after a first digest, which is planned when they confirm and not at their
        hour. Resubscribing and a change of address also confirm, but plan no digest at once.
        """
        confirmed_at = self.confirmed_at
        due_at = schedule.due_moment(letter.day, self.hour, self.zone)
        was_at_hour = due_at is not None and confirmed_at < due_at <= letter.created_at
        was_soon = confirmed_at <= letter.created_at <= confirmed_at + FIRST_DIGEST_WITHIN
        return schedule.MIN_GAP_AFTER_FIRST if was_soon and not was_at_hour else schedule.MIN_GAP

    def had_digest_before_confirming(self) -> bool:
        """Return whether the digest of the local day of confirmation was written before it.

        So it is if they unsubscribed after that digest and came back. That day gets no other.
        """
        day = schedule.local_day(self.confirmed_at, self.zone)
        return self.letters.filter(day=day, created_at__lt=self.confirmed_at).exists()


class ChannelManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().exclude(channel="")


class Channel(Subscriber):
    """A subscriber whose digests are posted to a web address."""

    objects = ChannelManager.from_queryset(SubscriberQuerySet)()

    class Meta:
        proxy = True
