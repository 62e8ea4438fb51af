"""Digests, and the papers in them with the reasons."""

import uuid

from django.db import models
from django.db.models import Q

from digest.models.papers import Paper
from subscriptions.models import Letter, Subscriber

#: The reason of a digest that isn't sent because it has no papers.
NOTHING_TO_SAY = "nothing to say"


class DigestQuerySet(models.QuerySet):
    def not_missed(self):
        """Digests of days that were not missed."""
        return self.exclude(letter__state=Letter.State.MISSED)

    def completed(self):
        """Digests that were accepted or had nothing to send."""
        quiet = Q(letter__state=Letter.State.SKIPPED, letter__reason=NOTHING_TO_SAY)
        return self.filter(quiet | Q(letter__state=Letter.State.ACCEPTED))


class Digest(models.Model):
    """What one subscriber gets on one local day, at most one by constraint."""

    # Keys without an index of their own are found by one of a constraint, which begins with them.
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.CASCADE, related_name="digests", db_index=False
    )
    day = models.DateField()
    letter = models.OneToOneField(Letter, on_delete=models.CASCADE, related_name="digest")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    considered = models.PositiveIntegerField(
        "papers considered", default=0, help_text="How many papers were new to them."
    )

    receipt = models.JSONField(
        default=dict, blank=True, help_text="How many papers were announced and stored."
    )
    since = models.DateField(
        null=True, blank=True, help_text="Day of the previous digest, if days lie between."
    )

    objects = DigestQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "-pk"]
        permissions = [("view_figures", "Can view counts of subscribers, digests and emails")]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "day"], name="one_digest_a_day"),
        ]

    def __str__(self):
        return f"Digest of {self.day}"


class PickQuerySet(models.QuerySet):
    def leading(self):
        """Picks that are not folded into another."""
        return self.filter(leader=None)

    def with_papers(self):
        """Picks that are not folded into another, in order, with their papers and relatives."""
        relatives = Pick.objects.select_related("paper").order_by("pk")
        folded = models.Prefetch("relatives", queryset=relatives)
        return self.leading().select_related("paper").prefetch_related(folded).order_by("position")


class Pick(models.Model):
    """One paper in a digest, with the reason: at most once for each subscriber, by constraint.

    A paper on the same idea as a better one, its leader, is folded into it and has no position. It
    isn't sent again either.
    """

    class Basis(models.TextChoices):
        TOPIC = "topic", "matches a topic"
        LEARNED = "learned", "learned from feedback"
        ADDED = "added", "like a paper that was added"
        TREND = "trend", "trending"
        NEW = "new", "new in its field"
        SECOND = "second", "worth a second look"
        GROUP = "group", "shown to a group"
        ADVICE = "advice", "recommended by a member"

    class Group(models.TextChoices):
        NEW = "new", "new"
        MISSED = "missed", "you may have missed"
        NEAR = "near", "close to your interests"
        SHARED = "shared", "shared in a group"

    digest = models.ForeignKey(
        Digest, on_delete=models.CASCADE, related_name="picks", db_index=False
    )
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.CASCADE, related_name="picks", db_index=False
    )
    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="picks")
    leader = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="relatives",
        db_index=False,
    )
    position = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="1 is the first. Empty if it is grouped with another."
    )
    score = models.FloatField()
    basis = models.CharField(max_length=8, choices=Basis)
    topic_name = models.CharField(max_length=200, blank=True)
    terms = models.JSONField(default=list, blank=True, help_text="Matched terms.")
    group = models.CharField(max_length=6, choices=Group, default=Group.NEW)
    like_title = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="A similar paper that the subscriber added, saved or liked.",
    )

    objects = PickQuerySet.as_manager()

    class Meta:
        ordering = ["digest", "position"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "paper"], name="no_paper_twice"),
            models.UniqueConstraint(fields=["digest", "position"], name="one_pick_a_position"),
            models.CheckConstraint(
                condition=Q(leader=None, position__isnull=False)
                | Q(leader__isnull=False, position=None),
                name="leads_or_follows",
            ),
        ]
        indexes = [
            models.Index(fields=["leader"], condition=Q(leader__isnull=False), name="picks_folded"),
        ]

    def __str__(self):
        return f"{self.position}. {self.paper_id}" if self.position else self.paper_id

    #: The papers folded into a pick that isn't stored.
    unsaved_folded = None

    @property
    def folded(self):
        """Return the papers that are folded into this pick."""
        if self.unsaved_folded is not None:
            return self.unsaved_folded
        return [relative.paper for relative in self.relatives.all()]

    @property
    def reason(self):
        """What is said of why it was picked: the arguments of `wording.why`."""
        areas = self.paper.fields[:1] if self.basis == self.Basis.NEW else []
        votes = self.paper.upvotes or 0
        reason = self.basis, self.topic_name, tuple(self.terms), votes, "".join(areas)
        return *reason, self.group, self.like_title
