"""What came to be known of letters after they left, and how much came back that told of none."""

from collections.abc import Collection
from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from subscriptions.post.letters import Letter


class LetterFact(models.Model):
    """One thing that a mail server or a reader made known of a letter that left.

    Rows are added, never changed, but for one that came before its letter was known: it is matched
    with the letter when that turns up.
    """

    class Kind(models.TextChoices):
        RELAYED = "relayed", "handed on"
        DELAYED = "delayed", "delayed"
        DELIVERED = "delivered", "delivered"
        BOUNCED = "bounced", "came back"
        COMPLAINED = "complained", "reported as unwanted"
        UNSUBSCRIBED = "unsubscribed", "unsubscribed with the provider"

    class Grade(models.TextChoices):
        """What a letter that came back says of its address."""

        HARD = "hard", "no such address"
        POLICY = "policy", "not let in"
        SOFT = "soft", "may pass"

    # Without a constraint in the database, as for events: the letter's row isn't looked at.
    letter = models.ForeignKey(
        Letter,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="facts",
        db_constraint=False,
    )
    kind = models.CharField(max_length=12, choices=Kind)
    grade = models.CharField(max_length=6, choices=Grade, blank=True)
    status = models.CharField(max_length=15, blank=True, help_text="As 5.1.1, of RFC 3463.")
    said = models.CharField(max_length=300, blank=True, help_text="In the mail server's words.")
    at = models.DateTimeField(null=True, blank=True, help_text="When it was so, as we were told.")
    noted_at = models.DateTimeField(db_index=True, help_text="When we were told.")
    via = models.CharField(max_length=20, help_text="Who told it: mail, or a provider by name.")
    message_id = models.CharField(
        max_length=200, blank=True, help_text="The letter's, where it isn't known yet."
    )
    key = models.CharField(max_length=64, unique=True, help_text="The same for what is told twice.")

    class Meta:
        verbose_name = "fact about a letter"
        verbose_name_plural = "facts about letters"
        ordering = ["-noted_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(letter__isnull=False) | ~Q(message_id=""),
                name="fact_of_some_letter",
            )
        ]
        indexes = [
            models.Index(
                fields=["noted_at"], condition=Q(letter__isnull=True), name="unmatched_facts"
            ),
            # For the panel's list: a provider may tell of each letter that it was delivered.
            models.Index(
                fields=["kind", "noted_at", "id"],
                condition=~Q(kind="delivered"),
                name="facts_but_deliveries",
            ),
            models.Index(
                fields=["grade", "noted_at", "id"], condition=~Q(grade=""), name="facts_by_grade"
            ),
        ]

    def __str__(self):
        told = [self.get_kind_display(), self.status, self.said]
        return ": ".join(part for part in told if part)


class UselessMail(models.Model):
    """How many messages came back in a day that told of no letter, by the reason."""

    class Why(models.TextChoices):
        AUTOREPLY = "autoreply", "answered by a machine"
        NO_REPORT = "no-report", "no report at all"
        UNREADABLE = "unreadable", "can't be read; set aside"
        FORGED = "forged", "a forged or old address"
        FOREIGN = "foreign", "about a letter that is none of ours"
        TOO_MANY = "too-many", "about unknown letters, too many to keep"

    day = models.DateField()
    why = models.CharField(max_length=10, choices=Why)
    count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "useless mail"
        constraints = [
            models.UniqueConstraint(fields=["day", "why"], name="one_count_a_day_and_reason")
        ]

    def __str__(self):
        return f"{self.count} on {self.day}: {self.get_why_display()}"


def count_useless(why: str, now) -> None:
    """Count one more message of today that told of no letter."""
    row, _ = UselessMail.objects.get_or_create(day=now.date(), why=why)
    UselessMail.objects.filter(pk=row.pk).update(count=F("count") + 1)


def told_of(letter_ids: Collection[int]) -> set[int]:
    """Return those of these letters of which anything came back: they surely had left."""
    facts = LetterFact.objects.filter(letter__in=letter_ids)
    return set(facts.values_list("letter_id", flat=True))


def names_told_of(message_ids: Collection[str], since) -> dict[str, datetime]:
    """Return those of these Message-IDs of which anything came back since then, and when it did."""
    facts = LetterFact.objects.filter(noted_at__gte=since).order_by("-noted_at")
    names = facts.values_list(Coalesce("letter__message_id", "message_id"), "noted_at")
    return {name: at for name, at in names if name in message_ids}
