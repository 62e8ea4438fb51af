"""What is new, what went into whose digest, and why."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models

from subscriptions.models import Letter, Subscriber


class PaperQuerySet(models.QuerySet):
    def new_on(self, day):
        """Those that are new on this day: of the last NEW_DAYS days, and none of after tomorrow.

        Tomorrow's are in, because the day has begun already somewhere.
        """
        first = day - timedelta(days=settings.NEW_DAYS - 1)
        return self.filter(day__range=(first, day + timedelta(days=1)))


class Paper(models.Model):
    """One work. Its texts are plain and readable: no markup, no LaTeX, no control character."""

    id = models.CharField(primary_key=True, max_length=100)
    title = models.TextField()
    abstract = models.TextField(blank=True)
    authors = models.JSONField(default=list, blank=True)
    categories = models.JSONField(default=list, blank=True)
    day = models.DateField(db_index=True, help_text="Announced on this day.")
    day_is_estimate = models.BooleanField(
        default=False,
        help_text="The announcement is unknown: it is the day of storing or submission.",
    )
    upvotes = models.PositiveIntegerField(null=True, blank=True)
    url = models.URLField(max_length=500, blank=True)
    is_sample = models.BooleanField("sample", default=False)
    changed_at = models.DateTimeField(db_index=True)

    objects = PaperQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "id"]

    def __str__(self):
        return self.title

    @property
    def link(self):
        """Return where the paper can be read, or nothing where that is unknown."""
        if self.url:
            return self.url
        return f"https://arxiv.org/abs/{self.id}" if ":" not in self.id else ""

    @property
    def byline(self):
        """Return the authors as a letter names them: all of few, the first of many."""
        if len(self.authors) > 5:
            return f"{', '.join(self.authors[:4])} and {len(self.authors) - 4} others"
        return ", ".join(self.authors)


class DigestQuerySet(models.QuerySet):
    def told(self):
        """Those whose subscriber heard something of that day, or knows that it was quiet."""
        return self.exclude(letter__state=Letter.State.MISSED)


class Digest(models.Model):
    """What one subscriber gets on one local day. The constraint is what makes it one."""

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="digests")
    day = models.DateField()
    letter = models.OneToOneField(Letter, on_delete=models.CASCADE, related_name="digest")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    considered = models.PositiveIntegerField(
        default=0, help_text="How many papers were new to her."
    )

    objects = DigestQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "day"], name="one_digest_a_day"),
        ]

    def __str__(self):
        return f"Digest of {self.day}"


class Pick(models.Model):
    """One paper in a digest, with the reason. The constraint is what makes it once for ever."""

    class Basis(models.TextChoices):
        TOPIC = "topic", "matches a topic"
        TREND = "trend", "trending"
        NEW = "new", "new in its field"

    digest = models.ForeignKey(Digest, on_delete=models.CASCADE, related_name="picks")
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="picks")
    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="picks")
    position = models.PositiveSmallIntegerField(help_text="1 is the first.")
    score = models.FloatField()
    basis = models.CharField(max_length=5, choices=Basis)
    topic_name = models.CharField(max_length=200, blank=True)
    terms = models.JSONField(default=list, blank=True, help_text="The words that weighed most.")

    class Meta:
        ordering = ["digest", "position"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "paper"], name="no_paper_twice"),
            models.UniqueConstraint(fields=["digest", "position"], name="one_pick_a_position"),
        ]

    def __str__(self):
        return f"{self.position}. {self.paper_id}"

    @property
    def why(self):
        """Return the reason as it is said to the reader."""
        if self.basis == self.Basis.TOPIC:
            return f"{self.topic_name}: {', '.join(self.terms)}" if self.terms else self.topic_name
        if self.basis == self.Basis.TREND:
            votes = self.paper.upvotes
            return f"Trending: {votes} upvote{'s' if votes != 1 else ''}"
        categories = self.paper.categories
        return f"New in {categories[0]}" if categories else "New"


class FittedModel(models.Model):
    """Which file holds the ranking's model. The last row is the one in use."""

    fitted_at = models.DateTimeField()
    name = models.CharField(max_length=200, help_text="Where it lies in the storage.")
    sha256 = models.CharField(max_length=64)
    documents = models.PositiveIntegerField(help_text="How many papers it was fitted on.")
    terms = models.PositiveIntegerField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return f"Model of {self.fitted_at:%Y-%m-%d %H:%M}"
