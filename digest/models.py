"""What is new, what went into whose digest, and why."""

import re
import uuid
from datetime import timedelta
from functools import cache, lru_cache
from itertools import count
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from digest import wording
from digest.sources.biorxiv import SERVERS
from digest.titles import Beginning
from subscriptions.models import Letter, Subscriber

#: cs.LG, hep-th or cell biology, and not I.2.6.
CATEGORY = re.compile(r"[a-z][A-Za-z-]*(\.[A-Za-z-]+)?|[a-z]+([ /][a-z-]+)+")

#: Why a digest without papers isn't sent.
NOTHING_TO_SAY = "nothing to say"

#: What needs no quoting in the path of an address (RFC 3986, 3.3).
IN_PATHS = "/!$&'()*+,;=:@~"

_numbers = count(1)


@lru_cache(50_000)
def number_of(told: tuple) -> int:
    """Return a number that stands for the tuple in keys, which no other has or will have.

    An equal one gets the same, or another where the first is forgotten.
    """
    return next(_numbers)


@cache
def _address_of_papers():
    """Return how the addresses of papers begin. To look one up takes ten times as long."""
    return reverse("paper", args=["-"]).removesuffix("-/")


def days_of_new(first, last):
    """Return the first and the last day of papers that are new on one of these days."""
    return first - timedelta(days=settings.NEW_DAYS - 1), last + timedelta(days=1)


class PaperQuerySet(models.QuerySet):
    def new_on(self, day, days=None):
        """Those that are new on this day: of the last NEW_DAYS days, or of so many, and none of
        after tomorrow.

        Tomorrow's are in, because the day has begun already somewhere.
        """
        more = (days or settings.NEW_DAYS) - settings.NEW_DAYS
        return self.new_between(day - timedelta(days=more), day)

    def new_between(self, first, last):
        """Those that are new on one of these days."""
        return self.filter(day__range=days_of_new(first, last))

    def with_stars(self):
        """Those with the stars that their code had when last looked at."""
        seen = Observation.objects.filter(paper=OuterRef("pk"), github_stars__isnull=False)
        return self.annotate(stars=Subquery(seen.order_by("-day").values("github_stars")[:1]))


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
    version = models.PositiveSmallIntegerField(null=True, blank=True)
    is_withdrawn = models.BooleanField("withdrawn", default=False)
    comments = models.TextField(blank=True)
    journal_ref = models.TextField("journal reference", blank=True)
    doi = models.CharField("DOI", max_length=300, blank=True)
    license = models.CharField(max_length=300, blank=True)
    github = models.URLField("code", max_length=500, blank=True)
    is_sample = models.BooleanField("sample", default=False)
    changed_at = models.DateTimeField(db_index=True)

    #: Of its code, when last looked at. It is kept as an observation, and set by who shows it.
    stars = None

    objects = PaperQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "id"]
        indexes = [models.Index(Beginning("title"), name="papers_by_title")]

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        """Return the address of its page."""
        return f"{_address_of_papers()}{quote(self.pk, safe=IN_PATHS)}/"

    @property
    def day_in_words(self):
        """Return its day as pages say it."""
        return wording.day(self.day)

    def latest_stars(self):
        """Return how many stars its code had when last looked at, None where nobody has."""
        seen = self.observations.filter(github_stars__isnull=False).order_by("-day")
        return seen.values_list("github_stars", flat=True).first()

    @property
    def may_have_news(self):
        """Return whether it shows traces of anything that PaperEvent tells of."""
        is_revised = self.version is not None and self.version > 1
        return bool(is_revised or self.is_withdrawn or self.journal_ref or self.github)

    @property
    def is_arxiv(self):
        """Return whether its id is one of arXiv's."""
        return ":" not in self.id

    @property
    def server(self):
        """Return the name of the preprint server that its id is of, or nothing where it is none."""
        return "arXiv" if self.is_arxiv else SERVERS.get(self.id.partition(":")[0], "")

    @property
    def link(self):
        """Return where the paper can be read, or nothing where that is unknown."""
        if self.url:
            return self.url
        return f"https://arxiv.org/abs/{self.id}" if self.is_arxiv else ""

    @property
    def read_at(self):
        """Return the name of the preprint server that its link leads to, or nothing."""
        host = (urlsplit(self.link).hostname or "").removeprefix("www.")
        return self.server if host == ("arxiv.org" if self.is_arxiv else "doi.org") else ""

    @property
    def pdf(self):
        """Return where its PDF is, or nothing where that is unknown."""
        return f"https://arxiv.org/pdf/{self.id}" if self.is_arxiv else ""

    @property
    def fields(self):
        """Return its categories, without the codes of other systems beside them."""
        return [category for category in self.categories if CATEGORY.fullmatch(category)]

    @cached_property
    def printed(self) -> int:
        """Return a number for all that a letter shows of it: the same where it shows the same."""
        names, areas = tuple(self.authors), tuple(self.categories)
        counts = self.upvotes, self.stars, self.is_sample
        texts = self.pk, self.title, self.abstract, self.link, self.github
        return number_of((*texts, names, areas, *counts))

    @property
    def byline(self):
        """Return the authors as lists of papers name them: all of few, the first of many."""
        if len(self.authors) > 5:
            names, others = ", ".join(self.authors[:4]), len(self.authors) - 4
            return gettext("%(names)s and %(count)d others") % {"names": names, "count": others}
        return ", ".join(self.authors)


class DigestQuerySet(models.QuerySet):
    def told(self):
        """Those whose subscriber heard something of that day, or knows that it was quiet."""
        return self.exclude(letter__state=Letter.State.MISSED)

    def ranked(self):
        """Those for which papers were chosen and not given back: the next one begins after them."""
        quiet = Q(letter__state=Letter.State.SKIPPED, letter__reason=NOTHING_TO_SAY)
        unknown = Q(letter__state=Letter.State.FAILED, letter__reason__startswith=Letter.UNKNOWN)
        left = Q(letter__state__in=[*Letter.OPEN, Letter.State.ACCEPTED])
        return self.filter(left | quiet | unknown)


class Digest(models.Model):
    """What one subscriber gets on one local day. The constraint is what makes it one."""

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="digests")
    day = models.DateField()
    letter = models.OneToOneField(Letter, on_delete=models.CASCADE, related_name="digest")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    considered = models.PositiveIntegerField(
        default=0, help_text="How many papers were new to her."
    )

    receipt = models.JSONField(
        default=dict, blank=True, help_text="What was announced, and what of it was here."
    )
    since = models.DateField(
        null=True, blank=True, help_text="The day of her last one, where days of hers lie between."
    )

    objects = DigestQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "-pk"]
        permissions = [("view_figures", "Can view counts of readers, digests and letters")]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "day"], name="one_digest_a_day"),
        ]

    def __str__(self):
        return f"Digest of {self.day}"


class PickQuerySet(models.QuerySet):
    def leading(self):
        """Those with a place of their own: not folded into another."""
        return self.filter(leader=None)

    def whole(self):
        """Those with a place of their own, in order, with all that a letter says of them."""
        relatives = Pick.objects.select_related("paper").order_by("pk")
        return (
            self.leading()
            .select_related("paper")
            .prefetch_related(models.Prefetch("relatives", queryset=relatives))
            .order_by("position")
        )


class Pick(models.Model):
    """One paper in a digest, with the reason. The constraint is what makes it once for ever.

    A paper on the same idea as a better one is folded into that one, its leader, and has no place
    of its own. It was told of all the same, and doesn't come again.
    """

    class Basis(models.TextChoices):
        TOPIC = "topic", "matches a topic"
        LEARNED = "learned", "like what she chose"
        TREND = "trend", "trending"
        NEW = "new", "new in its field"
        SECOND = "second", "a second chance"

    digest = models.ForeignKey(Digest, on_delete=models.CASCADE, related_name="picks")
    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="picks")
    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="picks")
    leader = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="relatives"
    )
    position = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="1 is the first. None where it is folded into another."
    )
    score = models.FloatField()
    basis = models.CharField(max_length=8, choices=Basis)
    topic_name = models.CharField(max_length=200, blank=True)
    terms = models.JSONField(default=list, blank=True, help_text="The words that weighed most.")

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

    def __str__(self):
        return f"{self.position}. {self.paper_id}" if self.position else self.paper_id

    #: The papers folded into a pick that isn't stored, as a preview shows it.
    would_fold = None

    @property
    def folded(self):
        """Return the papers on the same idea, for which it stands."""
        if self.would_fold is not None:
            return self.would_fold
        return [relative.paper for relative in self.relatives.all()]

    @property
    def why(self):
        """Return the reason as it is said to the reader."""
        return wording.why(*self.reason)

    @property
    def reason(self):
        """Return what the reason is made of, by wording.why."""
        areas = self.paper.fields[:1] if self.basis == self.Basis.NEW else []
        votes = self.paper.upvotes or 0
        return self.basis, self.topic_name, tuple(self.terms), votes, "".join(areas)


class Observation(models.Model):
    """How popular a paper was on one day, as one source told. From several, its velocity shows."""

    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="observations")
    source = models.CharField(max_length=20)
    day = models.DateField(db_index=True)
    upvotes = models.PositiveIntegerField(null=True, blank=True)
    num_comments = models.PositiveIntegerField("comments", null=True, blank=True)
    github_stars = models.PositiveIntegerField("GitHub stars", null=True, blank=True)

    class Meta:
        ordering = ["paper", "day"]
        constraints = [
            models.UniqueConstraint(
                fields=["paper", "source", "day"], name="one_observation_a_source_and_day"
            ),
        ]

    def __str__(self):
        return f"{self.paper_id} on {self.day}"


class PaperEvent(models.Model):
    """Something that happened to a paper after we first knew it."""

    class Kind(models.TextChoices):
        REVISED = "revised", _("has a new version")
        WITHDRAWN = "withdrawn", _("was withdrawn")
        PUBLISHED = "published", _("has a journal reference")
        CODE = "code", _("has code")

    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=9, choices=Kind)
    note = models.CharField(max_length=500, blank=True, help_text="Which version, journal or code.")
    at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["paper", "kind", "note"], name="a_thing_happens_once"),
        ]

    def __str__(self):
        return f"{self.paper_id} {self.get_kind_display()}"


class Harvest(models.Model):
    """One run that fetched from a source, with what it saw. Cut off, it is gone on with."""

    class State(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    source = models.CharField(max_length=20)
    since = models.DateField(null=True, blank=True, help_text="From this day on, in a backfill.")
    today = models.DateField(help_text="The day that the run took for today.")
    started_at = models.DateTimeField()
    touched_at = models.DateTimeField(help_text="When it last stored something.")
    ended_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=7, choices=State, default=State.RUNNING)
    cursor = models.TextField(blank=True, help_text="Where it goes on.")
    seen = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    bad = models.PositiveIntegerField(default=0, help_text="Records that were none.")
    said = models.TextField(blank=True, help_text="How it went, in plain words.")

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __str__(self):
        return f"{self.source} of {self.started_at:%Y-%m-%d %H:%M}"


class Coverage(models.Model):
    """What a source announced for one category and day, and what we have of it."""

    class State(models.TextChoices):
        FRESH = "fresh", "all there"
        WAITING = "waiting", "not announced yet"
        QUIET = "quiet", "no announcement on this day"
        STALLED = "stalled", "an earlier day's list is served"
        FAILED = "failed", "could not be read"

    source = models.CharField(max_length=20)
    category = models.CharField(max_length=40)
    day = models.DateField(db_index=True)
    state = models.CharField(max_length=7, choices=State)
    announced = models.PositiveIntegerField(default=0)
    had = models.PositiveIntegerField(default=0, help_text="How many of these are stored.")
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


class Turn(models.Model):
    """Whose turn it is to ask a source: one request at a time, for all workers and machines."""

    source = models.CharField(primary_key=True, max_length=20)
    holder = models.UUIDField(null=True)
    free_at = models.DateTimeField(help_text="From then on, the next may ask.")

    def __str__(self):
        return self.source


class Response(models.Model):
    """What a source answered, kept so that it needs not be asked again."""

    key = models.CharField(primary_key=True, max_length=64)
    url = models.TextField()
    headers = models.JSONField(default=dict)
    body = models.BinaryField(help_text="Compressed.")
    fetched_at = models.DateTimeField(db_index=True)

    def __str__(self):
        return self.url


class Feedback(models.Model):
    """What one subscriber said of one paper."""

    class Value(models.TextChoices):
        MORE = "more", "more like this"
        LESS = "less", "less like this"
        SAVE = "save", "saved"

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="feedback")
    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="feedback")
    value = models.CharField(max_length=4, choices=Value)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]
        verbose_name_plural = "feedback"
        indexes = [models.Index(fields=["at"], name="feedback_at")]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "paper"], name="one_word_a_paper"),
        ]

    def __str__(self):
        return f"{self.paper_id}: {self.get_value_display()}"


class LibraryPaper(models.Model):
    """A paper that a reader knows, from a bibliography of hers: her digests learn from it.

    It needs not be one of ours: what is learned from is its text.
    """

    subscriber = models.ForeignKey(
        # The database's: the version before, which doesn't know this table, erases readers, too.
        Subscriber,
        on_delete=models.DB_CASCADE,
        related_name="library",
    )
    identity = models.CharField(max_length=100, help_text="As a paper's id, or made of its title.")
    title = models.TextField()
    abstract = models.TextField(blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    at = models.DateTimeField(help_text="When it was added.")

    class Meta:
        ordering = [F("year").desc(nulls_last=True), "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "identity"], name="one_copy_a_library"),
        ]

    def __str__(self):
        return self.title


class ReaderModelQuerySet(models.QuerySet):
    def outdated(self, now):
        """Those to be fitted: something was said since they were, or it is too long ago."""
        old = Q(fitted_at__lt=now - ReaderModel.FRESH)
        return self.filter(~Q(learned=F("said")) | old, subscriber__learns=True)


class ReaderModel(models.Model):
    """What one reader's more, less and saved teach the ranking: words with weights.

    See digest.ranking.learning. Fitted apart from the minute in which her digest is planned.
    """

    FRESH = timedelta(days=14)  # The corpus moves on, and the weights of words with it.

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.CASCADE, related_name="reader_model"
    )
    said = models.PositiveIntegerField(
        default=1, help_text="How often she has said something, or removed a word."
    )
    learned = models.PositiveIntegerField(default=0, help_text="How much of it is in these words.")
    fitted_at = models.DateTimeField(null=True, blank=True)
    terms = models.JSONField(
        default=list, blank=True, help_text="Stems, in the order in which they are told."
    )
    words = models.JSONField(default=list, blank=True, help_text="As people write them.")
    weights = models.JSONField(default=list, blank=True)
    liked = models.PositiveIntegerField(default=0, help_text="How many papers she liked.")
    floor = models.FloatField(
        null=True, blank=True, help_text="A paper with this score is like those that she liked."
    )
    removed = models.JSONField(
        default=dict,
        blank=True,
        help_text="Stems that she doesn't want to be known for, each with its word.",
    )

    objects = ReaderModelQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["fitted_at"], name="reader_model_fitted_at")]

    def __str__(self):
        return f"Model of {self.subscriber_id}"


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


class ArchiveFile(models.Model):
    """Which file holds all papers as arrays, to be searched. The last row is the one in use."""

    written_at = models.DateTimeField(help_text="Begun at this moment: what came later isn't in.")
    name = models.CharField(max_length=200, help_text="Where it lies in the storage.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    model = models.ForeignKey(FittedModel, on_delete=models.PROTECT, related_name="archives")
    papers = models.PositiveIntegerField()
    changed_at = models.DateTimeField(null=True, help_text="The last change of a paper in it.")

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return f"Archive of {self.written_at:%Y-%m-%d %H:%M}"


class Pulse(models.Model):
    """When something that should happen again and again last did."""

    name = models.CharField(primary_key=True, max_length=20)
    at = models.DateTimeField()

    def __str__(self):
        return f"{self.name} at {self.at:%Y-%m-%d %H:%M:%S}"


class Tally(models.Model):
    """What one day (UTC) was like by one measure, in counts. See tallies.py."""

    day = models.DateField()
    measure = models.CharField(max_length=20)
    counts = models.JSONField(default=dict, blank=True)
    counted_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "tallies"
        ordering = ["day", "measure"]
        constraints = [
            models.UniqueConstraint(fields=["day", "measure"], name="one_tally_a_day_and_measure"),
        ]

    def __str__(self):
        return f"{self.measure} of {self.day}"


class AlarmQuerySet(models.QuerySet):
    def standing(self):
        """Those that have not ended."""
        return self.filter(ended_at=None)


class Alarm(models.Model):
    """Something that was wrong from one moment to another. Raised once, however many see it."""

    name = models.CharField(max_length=20, help_text="The heading of its entry in the runbook.")
    subject = models.CharField(max_length=200, blank=True, help_text="Of several, which one.")
    said = models.CharField(max_length=500)
    raised_at = models.DateTimeField()
    holds_until = models.DateTimeField(help_text="It ends then, unless it is seen again.")
    ended_at = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True, help_text="That it began.")
    end_told_at = models.DateTimeField(null=True, blank=True, help_text="That it ended.")

    objects = AlarmQuerySet.as_manager()

    class Meta:
        ordering = ["-raised_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "subject"],
                condition=Q(ended_at=None),
                name="one_alarm_at_a_time",
            ),
        ]

    def __str__(self):
        return f"{self.name} {self.subject}".strip()
