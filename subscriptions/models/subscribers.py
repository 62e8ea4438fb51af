"""Who asked for a digest, when it comes, and whether it is still wanted."""

import uuid
from contextlib import suppress
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from subscriptions import addresses, schedule

#: Files beside the zones of a system that are none: its own setting, and stand-ins for one.
NO_ZONES = frozenset({"localtime", "Factory", "posixrules"})


@cache
def zone_names() -> frozenset[str]:
    """Return the IANA time zones that this machine knows. To look for them takes it 10 ms."""
    return frozenset(available_timezones() - NO_ZONES)


def known_zone(name):
    """Refuse a name that is no IANA time zone."""
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
    """Return the languages that letters are written in. Migrations name this, and none of them."""
    return settings.LANGUAGES


class SubscriberQuerySet(models.QuerySet):
    def at(self, address):
        """Those with this address, which differs by case at most: none or one."""
        return self.alias(identity=Lower("email")).filter(identity=address.lower())

    def wanting(self):
        """Confirmed, and not cancelled or suppressed since. The paused are among them."""
        return self.filter(
            confirmed_at__isnull=False, unsubscribed_at__isnull=True, suppressed_at__isnull=True
        )

    def due(self, now):
        """Those whose moment has come. It lies after the pause for those who paused."""
        return self.wanting().filter(next_due_at__lte=now)

    def in_state(self, state, now):
        """Those of whom Subscriber.state_at says this."""
        return self.filter(_states_at(now)[state])

    def count_by_state(self, now) -> dict[str, int]:
        """Return how many are in each state."""
        counts = {state: Count("pk", filter=those) for state, those in _states_at(now).items()}
        return self.aggregate(**counts)


def _states_at(now):
    """Return for each state of a subscriber the condition to find those who are in it.

    Subscriber.state_at says the same of one. A pause ends with a local day, of which the Earth has
    three at most.
    """
    kept = Q(suppressed_at__isnull=True)
    stayed = kept & Q(unsubscribed_at__isnull=True)
    confirmed = stayed & Q(confirmed_at__isnull=False)
    paused = Q(pk__in=[])
    zones = {}
    pausing = Subscriber.objects.filter(paused_until__isnull=False)
    for name in pausing.values_list("timezone", flat=True).distinct():
        zones.setdefault(schedule.local_day(now, Subscriber(timezone=name).zone), []).append(name)
    for day, names in zones.items():
        paused |= Q(timezone__in=names, paused_until__gt=day)
    return {
        "active": confirmed & ~paused,
        "pending": stayed & Q(confirmed_at__isnull=True),
        "paused": confirmed & paused,
        "unsubscribed": kept & Q(unsubscribed_at__isnull=False),
        "suppressed": Q(suppressed_at__isnull=False),
    }


class Subscriber(models.Model):
    """A person's email address, its state and its wishes.

    A state is a date, which says since when. Links carry `public_id`, never the address or the
    row's number.
    """

    class Suppression(models.TextChoices):
        BOUNCED = "bounced", "letters came back"
        COMPLAINED = "complained", "reported as unwanted"
        OPERATOR = "operator", "by the operator"

    email = models.EmailField(max_length=254)
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    timezone = models.CharField("time zone", max_length=64, default="UTC", validators=[known_zone])
    hour = models.PositiveSmallIntegerField(
        default=7,
        validators=[MaxValueValidator(23)],
        help_text="Local hour of the digest, 0 to 23.",
    )
    size = models.PositiveSmallIntegerField(
        "digest size",
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="How many papers a digest has at most.",
    )

    weekdays = models.PositiveSmallIntegerField(
        "days of the week",
        default=schedule.EVERY_DAY,
        db_default=schedule.EVERY_DAY,
        validators=[MinValueValidator(1), MaxValueValidator(schedule.EVERY_DAY)],
        help_text="On which a digest comes, as bits, Monday's the lowest.",
    )

    language = models.CharField(
        max_length=16, choices=languages, default="en", help_text="The language of her letters."
    )
    wants_quiet_days = models.BooleanField(
        "wants quiet days", default=False, help_text="A short letter also on days without papers."
    )
    wants_near = models.BooleanField(
        "wants near misses",
        default=False,
        db_default=False,
        help_text="Up to three papers close to her interests, where a digest has room.",
    )
    learns = models.BooleanField(
        "learns from feedback", default=True, help_text="Whether what she says of papers steers."
    )

    asked_at = models.DateTimeField(help_text="When the latest sign-up was sent in.")
    asked_for = models.JSONField(
        default=dict, blank=True, help_text="What a sign-up after leaving wishes, until confirmed."
    )
    confirmed_at = models.DateTimeField(null=True, blank=True)
    began_at = models.DateTimeField(
        null=True, blank=True, help_text="When she confirmed a sign-up, the last time that she did."
    )
    paused_until = models.DateField(null=True, blank=True)
    unsubscribed_at = models.DateTimeField(null=True, blank=True)
    suppressed_at = models.DateTimeField(null=True, blank=True)
    suppressed_by = models.CharField(
        max_length=10, choices=Suppression, blank=True, help_text="What stopped letters to her."
    )
    suppressed_reason = models.CharField(max_length=200, blank=True)
    lifted_at = models.DateTimeField(
        null=True, blank=True, help_text="When letters were let go to her again."
    )
    moved_at = models.DateTimeField(
        null=True, blank=True, help_text="When she got the address that she has now by a move."
    )
    next_due_at = models.DateTimeField(
        null=True, blank=True, db_index=True, help_text="When her next digest is planned."
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
        return addresses.readable(self.email)

    @property
    def zone(self) -> ZoneInfo:
        """Her zone, or UTC where the zone database of this machine has lost it.

        Her digest comes at another hour then, which is better than none for anyone.
        """
        with suppress(ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder, as "Asia".
            return ZoneInfo(self.timezone)
        return ZoneInfo("UTC")

    @property
    def letter_language(self) -> str:
        """The language of her letters: English where hers is no longer offered."""
        return self.language if self.language in dict(languages()) else "en"

    def state_at(self, now):
        """Return the state in one word: pending, active, paused, unsubscribed or suppressed."""
        if self.suppressed_at:
            return "suppressed"
        if self.unsubscribed_at:
            return "unsubscribed"
        if not self.confirmed_at:
            return "pending"
        if self.paused_until and schedule.local_day(now, self.zone) < self.paused_until:
            return "paused"
        return "active"

    @property
    def wants(self) -> bool:
        """Whether she asked for the digest, and didn't take it back."""
        return self.confirmed_at is not None and self.unsubscribed_at is None

    @property
    def reachable_at(self):
        """The last moment at which her address was right, for all we know; None where never.

        What came back of letters from before proves nothing any more.
        """
        return max(filter(None, (self.confirmed_at, self.lifted_at)), default=None)

    def locked(self):
        """Return her as she is now, under the lock that the fence takes too."""
        return Subscriber.objects.select_for_update().get(pk=self.pk)

    def may_come_back(self, asked_at) -> bool:
        """Return whether a goodbye of that moment holds.

        It does where she had confirmed, left by then and not again since, and letters reach her.
        """
        has_left = self.unsubscribed_at is not None and self.unsubscribed_at <= asked_at
        return has_left and self.confirmed_at is not None and self.suppressed_at is None

    def may_vouch(self, asked_at) -> bool:
        """Return whether she may say that her address is right, as she was asked at that moment.

        She may where she wants the digest and nothing but letters that had come back by then keeps
        it from her. Nobody is asked after a complaint.
        """
        bounced = self.suppressed_by == self.Suppression.BOUNCED
        is_past = self.suppressed_at is not None and self.suppressed_at <= asked_at
        return self.wants and bounced and is_past

    def is_due_from(self, day):
        """Set the moment of the first digest on or after the local `day`. Doesn't save."""
        if self.paused_until:
            day = max(day, self.paused_until)
        _, self.next_due_at = schedule.first_due(day, self.hour, self.zone, self.weekdays)

    def is_due_at(self, moment):
        """Set the moment of the next digest, or the first one after it that is on a day of hers.
        Doesn't save.
        """
        day = schedule.local_day(moment, self.zone)
        if schedule.is_wanted(day, self.weekdays):
            self.next_due_at = moment
        else:
            self.is_due_from(day)

    @property
    def is_daily(self) -> bool:
        """Whether she wants digests on every day of the week."""
        return self.weekdays == schedule.EVERY_DAY

    def is_put_off(self, now) -> bool:
        """Whether her next digest comes after her hour, on the next day maybe, so as to be hours
        apart from the last.
        """
        if self.next_due_at is None or self.next_due_at <= now:
            return False
        day = schedule.local_day(self.next_due_at, self.zone)
        return self.next_due_at != schedule.due_moment(day, self.hour, self.zone)
