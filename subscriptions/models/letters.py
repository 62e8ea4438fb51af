"""Letters: one email to one subscriber, and the state of its delivery.

Only delivery/transitions.py changes that state.
"""

from django.db import models
from django.db.models import Q

from subscriptions.mail import kinds


class MimeBatch(models.Model):
    """The bytes of letters that passed the final check together, compressed as one.

    They share most of their text, so together they take a twentieth of the space. Deleted when the
    last of them has ended.
    """

    created_at = models.DateTimeField()
    mime = models.BinaryField(help_text="Zstandard with its checksum, one letter after the other.")

    def __str__(self):
        return f"Batch {self.pk}"


class LetterState(models.TextChoices):
    PLANNED = "planned", "queued"
    CLAIMED = "claimed", "being composed"
    TRANSMITTING = "transmitting", "handed over"
    UNCERTAIN = "uncertain", "uncertain"
    ACCEPTED = "accepted", "sent"
    SKIPPED = "skipped", "not sent"
    FAILED = "failed", "failed"
    MISSED = "missed", "missed"


class LetterQuerySet(models.QuerySet):
    def open(self):
        """Filter by letters whose delivery has not ended."""
        return self.filter(ended_at=None, state__in=Letter.OPEN)

    def due(self, now):
        """Filter by letters that may be claimed now."""
        return self.filter(ended_at=None, state=Letter.State.PLANNED, next_try_at__lte=now)


class Letter(models.Model):
    """One email to one subscriber."""

    Kind = kinds.Kind
    State = LetterState
    OPEN = (State.PLANNED, State.CLAIMED, State.TRANSMITTING, State.UNCERTAIN)
    #: Start of the reason of a failed letter that may have arrived.
    UNKNOWN = "unknown"
    #: Start of the reason of a failed letter that the mail server refused for good.
    REFUSED = "refused"
    #: The reason of an accepted digest of a day that a restored backup does not know.
    COUNTED_AS_SENT = "counted as sent after a restored backup"
    #: Replaces the address in `to` when that is erased.
    FORGOTTEN_ADDRESS = "elsewhere"
    #: The open states in which the end of data cannot have been sent.
    UNSENT = (State.PLANNED, State.CLAIMED)
    #: Letters to mailboxes, and those to channels.
    EMAILS = Q(subscriber__channel="")
    POSTS = ~EMAILS

    subscriber = models.ForeignKey(
        "subscriptions.Subscriber", on_delete=models.CASCADE, related_name="letters"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    to = models.EmailField(
        max_length=254,
        blank=True,
        default="",
        db_default="",
        help_text="The recipient, if that is not the subscriber's address.",
    )
    day = models.DateField(
        null=True, blank=True, help_text="The subscriber's local day, for a digest."
    )
    # `message_id` is the Message-ID. No index and no constraint, as for the batch.
    operator_message = models.ForeignKey(
        "subscriptions.Message",
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        related_name="letters",
        db_constraint=False,
        db_index=False,
    )
    state = models.CharField(max_length=12, choices=State, default=State.PLANNED)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it was not sent.")

    created_at = models.DateTimeField()
    closes_at = models.DateTimeField("send before", help_text="It is not sent after this time.")
    next_try_at = models.DateTimeField("next attempt", null=True, blank=True)
    lease_until = models.DateTimeField("reserved until", null=True, blank=True)
    attempt = models.PositiveIntegerField(
        "attempts", default=0, help_text="How often a worker took it."
    )
    failed_attempts = models.PositiveIntegerField(
        default=0, help_text="Attempts that ended in a crash or an error."
    )
    repeats = models.PositiveSmallIntegerField(
        "resends", default=0, help_text="How often the same email was sent again."
    )

    message_id = models.CharField("Message-ID", max_length=200, blank=True)
    frozen_at = models.DateTimeField("composed at", null=True, blank=True)
    # No index and no constraint: both would slow down every change of state.
    mime_batch = models.ForeignKey(
        MimeBatch,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        help_text="Where its bytes are stored from handing over until it ends.",
    )
    mime_offset = models.PositiveIntegerField(
        default=0, help_text="Where its bytes begin in the batch."
    )
    mime_size = models.PositiveIntegerField("size in bytes", default=0)
    left_at = models.DateTimeField("handed over at", null=True, blank=True)
    stage = models.CharField(
        "last step", max_length=12, blank=True, help_text="How far the last attempt came."
    )
    last_reply = models.CharField(max_length=300, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = LetterQuerySet.as_manager()

    class Meta:
        verbose_name = "email"
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["subscriber", "day"],
                condition=Q(day__isnull=False),
                name="one_letter_a_day",
            ),
            models.CheckConstraint(
                condition=Q(state__in=LetterState.values), name="letter_state_known"
            ),
        ]
        # No index has a column that claims and final checks change: so PostgreSQL rewrites the row
        # on its page, without new index entries (HOT).
        indexes = [
            models.Index(
                fields=["next_try_at", "id"], condition=Q(ended_at=None), name="letters_under_way"
            ),
            # A person waits for these, except for messages, so they are sent before digests.
            models.Index(
                fields=["next_try_at", "id"],
                condition=Q(ended_at=None, day__isnull=True),
                name="letters_waited_for",
            ),
            # For the panel's lists. Letters that are sent without trouble are in neither.
            models.Index(fields=["id"], condition=~Q(reason=""), name="letters_with_reason"),
            models.Index(
                fields=["kind", "id"], condition=~Q(kind="digest"), name="letters_but_digests"
            ),
        ]

    def __str__(self):
        return f"{self.get_kind_display().capitalize()} {self.pk}"

    @property
    def recipient(self) -> str:
        """The address that it is sent to. The subscriber must be loaded."""
        return self.to or self.subscriber.email

    @property
    def state_text(self) -> str:
        """The state and its reason, as shown to people."""
        label = self.get_state_display()
        if self.state == self.State.PLANNED and self.attempt:
            return f"next attempt at {self.next_try_at:%H:%M} UTC"
        if self.state == self.State.UNCERTAIN:
            return f"{label}; next check at {self.next_try_at:%H:%M} UTC"
        return f"{label}: {self.reason}" if self.reason not in ("", label) else label


class LetterEvent(models.Model):
    """One change of a letter's state. Rows are never changed."""

    # No constraint in the database: looking up the letter's row would double the cost.
    letter = models.ForeignKey(
        Letter, on_delete=models.CASCADE, related_name="events", db_constraint=False
    )
    at = models.DateTimeField()
    old_state = models.CharField(max_length=12, blank=True)
    new_state = models.CharField(max_length=12)
    attempt = models.PositiveIntegerField()
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return f"{self.old_state or 'created'} → {self.new_state}"
