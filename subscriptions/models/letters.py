"""Letters: one mail to one subscriber, and how its delivery stands.

Nothing but transitions.py changes a letter's state.
"""

from django.db import models
from django.db.models import Q


class Volley(models.Model):
    """The bytes of letters that passed the fence together, compressed as one.

    They share most of their blocks, so together they take a twentieth of what each would alone.
    Dropped when the last of them has ended.
    """

    created_at = models.DateTimeField()
    mime = models.BinaryField(help_text="Zstandard with its checksum, one letter after the other.")

    class Meta:
        verbose_name_plural = "volleys"

    def __str__(self):
        return f"Volley {self.pk}"


class LetterState(models.TextChoices):
    PLANNED = "planned", "waiting"
    CLAIMED = "claimed", "being written"
    TRANSMITTING = "transmitting", "past the fence"
    UNCERTAIN = "uncertain", "nobody knows yet whether it arrived"
    ACCEPTED = "accepted", "sent"
    SKIPPED = "skipped", "not sent"
    FAILED = "failed", "could not be sent"
    MISSED = "missed", "its day ended first"


class LetterQuerySet(models.QuerySet):
    def open(self):
        """Those whose story has not ended."""
        return self.filter(ended_at=None, state__in=Letter.OPEN)

    def due(self, now):
        """Those that may be claimed now."""
        return self.filter(ended_at=None, state=Letter.State.PLANNED, next_try_at__lte=now)


class Letter(models.Model):
    """One mail to one subscriber. Its state is the truth about its delivery."""

    class Kind(models.TextChoices):
        CONFIRM = "confirm"
        WELCOME = "welcome"
        DIGEST = "digest"
        BOUNCED = "bounced"
        GOODBYE = "goodbye"
        LINK = "link"
        MOVE = "move"

    State = LetterState
    OPEN = (State.PLANNED, State.CLAIMED, State.TRANSMITTING, State.UNCERTAIN)
    #: How the reason of one begins that failed, and may have arrived all the same.
    UNKNOWN = "unknown"
    #: The same of one that the mail server did not take, for good.
    REFUSED = "refused"
    #: What `to` says where the address is forgotten.
    ELSEWHERE = "elsewhere"
    #: The open states in which no final dot can have been sent.
    NOT_LEFT = (State.PLANNED, State.CLAIMED)

    subscriber = models.ForeignKey(
        "subscriptions.Subscriber", on_delete=models.CASCADE, related_name="letters"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    to = models.EmailField(
        max_length=254,
        blank=True,
        default="",
        db_default="",
        help_text="Where it goes, where that is another address than the subscriber's.",
    )
    day = models.DateField(null=True, blank=True, help_text="The reader's local day, for a digest.")
    state = models.CharField(max_length=12, choices=State, default=State.PLANNED)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it ended as it did.")

    created_at = models.DateTimeField()
    closes_at = models.DateTimeField(help_text="From then on it may no longer leave.")
    next_try_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0, help_text="How many times it was claimed.")
    stumbles = models.PositiveIntegerField(
        default=0, help_text="How many attempts ended without an answer, by a crash or an error."
    )
    repeats = models.PositiveSmallIntegerField(
        default=0, help_text="How many times its very bytes were sent again after no answer."
    )

    message_id = models.CharField(max_length=200, blank=True)
    frozen_at = models.DateTimeField(null=True, blank=True, help_text="The letter's Date.")
    # Without an index or a constraint, which would cost at each step: volleys go when it is sure.
    volley = models.ForeignKey(
        Volley,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        help_text="Where its bytes are, from the fence until it ends.",
    )
    mime_at = models.PositiveIntegerField(default=0, help_text="Where in the volley they begin.")
    mime_size = models.PositiveIntegerField(default=0)
    left_at = models.DateTimeField(
        null=True, blank=True, help_text="When the last try passed the fence."
    )
    stage = models.CharField(max_length=12, blank=True, help_text="How far the last try came.")
    last_reply = models.CharField(max_length=300, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = LetterQuerySet.as_manager()

    class Meta:
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
        # No index knows the state, nor anything else that the claim and the fence change: so
        # PostgreSQL writes the row anew on its page, and no entry into any index (HOT).
        indexes = [
            models.Index(
                fields=["next_try_at", "id"], condition=Q(ended_at=None), name="letters_under_way"
            ),
            # Somebody waits in front of a screen for these: they pass the digests.
            models.Index(
                fields=["next_try_at", "id"],
                condition=Q(ended_at=None, day__isnull=True),
                name="letters_waited_for",
            ),
            # For the panel's lists, of the few among the many: letters that leave touch neither.
            models.Index(fields=["id"], condition=~Q(reason=""), name="letters_with_reason"),
            models.Index(
                fields=["kind", "id"], condition=~Q(kind="digest"), name="letters_but_digests"
            ),
        ]

    def __str__(self):
        return f"{self.kind} {self.pk}"

    @property
    def recipient(self) -> str:
        """Return the address that it goes to. Its subscriber is loaded."""
        return self.to or self.subscriber.email

    @property
    def said(self):
        """Return the state as it is said to people."""
        words = self.get_state_display()
        if self.state == self.State.PLANNED and self.attempt:
            return f"will be tried again at {self.next_try_at:%H:%M} UTC"
        if self.state == self.State.UNCERTAIN:
            return f"{words}; it will be asked for at {self.next_try_at:%H:%M} UTC"
        return f"{words}: {self.reason}" if self.reason not in ("", words) else words


class LetterEvent(models.Model):
    """One step in the life of a letter. Rows are added, never changed."""

    # No constraint in the database, whose look at the letter's row would be half of the cost.
    letter = models.ForeignKey(
        Letter, on_delete=models.CASCADE, related_name="events", db_constraint=False
    )
    at = models.DateTimeField()
    was = models.CharField(max_length=12, blank=True)
    became = models.CharField(max_length=12)
    attempt = models.PositiveIntegerField()
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return f"{self.was or 'written'} → {self.became}"
