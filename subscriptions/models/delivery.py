"""Reports about sent letters, and the switch of sending."""

from collections.abc import Collection

from django.db import models
from django.db.models import Q

from subscriptions.models.letters import Letter


class LetterFact(models.Model):
    """One report about a sent letter, by a mail server or its recipient.

    Rows are never changed, except to match a report with a letter that was not known before (after
    a restored backup).
    """

    class Kind(models.TextChoices):
        RELAYED = "relayed", "relayed"
        DELAYED = "delayed", "delayed"
        DELIVERED = "delivered", "delivered"
        BOUNCED = "bounced", "bounced"
        COMPLAINED = "complained", "spam report"
        UNSUBSCRIBED = "unsubscribed", "unsubscribed at the provider"

    class Grade(models.TextChoices):
        """What a bounce says about the address."""

        HARD = "hard", "invalid address"
        POLICY = "policy", "rejected"
        SOFT = "soft", "temporary"

    # No constraint in the database, as for events.
    letter = models.ForeignKey(
        Letter,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="facts",
        db_constraint=False,
    )
    kind = models.CharField(max_length=12, choices=Kind)
    grade = models.CharField("bounce type", max_length=6, choices=Grade, blank=True)
    status = models.CharField(max_length=15, blank=True, help_text="Such as 5.1.1 (RFC 3463).")
    reply = models.CharField("server reply", max_length=300, blank=True)
    at = models.DateTimeField(null=True, blank=True, help_text="When it happened, as reported.")
    noted_at = models.DateTimeField("received at", db_index=True)
    via = models.CharField("source", max_length=20, help_text="Mail, or a provider's name.")
    message_id = models.CharField(
        max_length=200, blank=True, help_text="Of an email that is not known yet."
    )
    key = models.CharField(max_length=64, unique=True, help_text="The same for repeated reports.")

    class Meta:
        verbose_name = "delivery report"
        ordering = ["-noted_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(letter__isnull=False) | ~Q(message_id=""), name="fact_of_some_letter"
            )
        ]
        indexes = [
            models.Index(
                fields=["noted_at"], condition=Q(letter__isnull=True), name="unmatched_facts"
            ),
            # For the panel's list: a provider may report the delivery of each letter.
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
        return ": ".join(filter(None, [self.get_kind_display(), self.status, self.reply]))


def reported_ids(letter_ids: Collection[int]) -> set[int]:
    """Return the ids of these letters with reports: they were sent for certain."""
    facts = LetterFact.objects.filter(letter__in=letter_ids)
    return set(facts.values_list("letter_id", flat=True))


ALARMING_AFTER = 3  # In a row. Servers that are unreachable less often are no alarm.


class Sending(models.Model):
    """The one row that says whether letters may be sent: the switch and the circuit breaker."""

    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_by = models.CharField(max_length=200, blank=True)
    resumed_at = models.DateTimeField(
        null=True, blank=True, help_text="When letters might leave again, after they were stopped."
    )
    skipped_until = models.DateField(
        null=True, blank=True, help_text="The last day that was counted as sent after a backup."
    )
    trouble = models.CharField(max_length=12, blank=True, help_text="What tripped the breaker.")
    reply = models.CharField(max_length=300, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="How often in a row.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="When one try is made again.")

    class Meta:
        verbose_name_plural = "sending"
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_row_of_sending")]

    def __str__(self):
        return "stopped" if self.stopped_at else self.trouble or "on"

    @property
    def is_alarming(self) -> bool:
        """Whether the circuit breaker is open for a cause that will not pass by itself."""
        may_pass = self.trouble == "unreachable" and self.failures < ALARMING_AFTER
        return bool(self.trouble) and not may_pass

    def wait_reason(self, now) -> str:
        """Return why no letter may be sent now, or an empty string."""
        if self.stopped_at:
            return f"stopped at {self.stopped_at:%Y-%m-%d %H:%M} UTC by {self.stopped_by}"
        if self.retry_at and self.retry_at > now:
            return f"{self.reply}; next attempt at {self.retry_at:%H:%M:%S} UTC"
        return ""
