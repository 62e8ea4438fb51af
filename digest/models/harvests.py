"""Harvests of sources, their coverage, and the locks and cached responses of requests."""

from django.db import models


class SourceConfig(models.Model):
    """A source as operators set it in the panel: a built-in one, or a journal.

    A journal is read from Crossref if it has `crossref_ids`, otherwise from its feed.
    """

    name = models.SlugField(primary_key=True, max_length=20)
    title = models.CharField(max_length=200)
    is_on = models.BooleanField("on", default=False, help_text="Fetch new papers from it.")
    categories = models.JSONField(
        default=list, blank=True, help_text="arXiv archives or categories to read. None: all."
    )
    feed_url = models.URLField(
        "feed address", max_length=500, blank=True, help_text="RSS or Atom, of a journal."
    )
    completes = models.BooleanField(
        "complete by Crossref",
        default=True,
        help_text="Ask Crossref for authors and abstracts that the feed leaves out.",
    )
    crossref_ids = models.CharField(
        "ISSNs or DOI prefixes",
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="Such as 2469-9950, 2469-9969, or 10.26434. Then Crossref is read, not the feed.",
    )

    class Meta:
        verbose_name = "source"
        ordering = ["name"]

    def __str__(self):
        return self.title

    @property
    def is_journal(self) -> bool:
        return bool(self.feed_url or self.crossref_ids)


class Harvest(models.Model):
    """One run that fetches from a source. If it is cut off, it is resumed."""

    class State(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    source = models.CharField(max_length=20)
    since = models.DateField(null=True, blank=True, help_text="First day of a backfill.")
    today = models.DateField("day", help_text="The source's date when it started.")
    started_at = models.DateTimeField()
    touched_at = models.DateTimeField("last activity")
    ended_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=7, choices=State, default=State.RUNNING)
    cursor = models.TextField(blank=True, help_text="Where the next run continues.")
    records = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField("new papers", default=0)
    changed = models.PositiveIntegerField("changed papers", default=0)
    unreadable = models.PositiveIntegerField(default=0)
    result = models.TextField(blank=True)

    class Meta:
        verbose_name = "import"
        ordering = ["-started_at", "-pk"]

    def __str__(self):
        return f"{self.source} of {self.started_at:%Y-%m-%d %H:%M}"


class Coverage(models.Model):
    """What a source announced for one category and day, and how much of it is stored."""

    class State(models.TextChoices):
        FRESH = "fresh", "complete"
        WAITING = "waiting", "not announced yet"
        QUIET = "quiet", "no announcement"
        STALLED = "stalled", "outdated list"
        FAILED = "failed", "failed"

    source = models.CharField(max_length=20)
    category = models.CharField(max_length=40)
    day = models.DateField(db_index=True)
    state = models.CharField(max_length=7, choices=State)
    announced = models.PositiveIntegerField(default=0)
    stored = models.PositiveIntegerField(default=0)
    note = models.TextField(blank=True)
    checked_at = models.DateTimeField()

    class Meta:
        ordering = ["-day", "source", "category"]
        verbose_name_plural = "coverage"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "category", "day"], name="one_coverage_a_category_and_day"
            ),
        ]

    def __str__(self):
        return f"{self.source} {self.category} on {self.day}"


class Lock(models.Model):
    """A lock that all workers share: see digest/models/locks.py."""

    source = models.CharField(primary_key=True, max_length=20)
    holder = models.UUIDField(null=True)
    free_at = models.DateTimeField(help_text="From then on, the next may ask.")

    def __str__(self):
        return self.source


class Response(models.Model):
    """A cached response of a source."""

    key = models.CharField(primary_key=True, max_length=64)
    url = models.TextField()
    headers = models.JSONField(default=dict)
    body = models.BinaryField(help_text="Compressed.")
    fetched_at = models.DateTimeField(db_index=True)

    def __str__(self):
        return self.url
