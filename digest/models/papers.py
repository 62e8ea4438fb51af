"""Papers, how popular they were, and what happened to them since."""

import re
from datetime import timedelta
from functools import cache, lru_cache
from itertools import count
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.db import models
from django.db.models import OuterRef, Subquery
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from digest import wording
from digest.sources.biorxiv import SERVERS
from digest.titles import Beginning

#: cs.LG, hep-th or cell biology, and not I.2.6.
CATEGORY = re.compile(r"[a-z][A-Za-z-]*(\.[A-Za-z-]+)?|[a-z]+([ /][a-z-]+)+")

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


class PaperQuerySet(models.QuerySet):
    def new_on(self, day, back=0):
        """Those dated within NEW_DAYS of this day, or of one of the days `back`.

        Tomorrow's are in, because the day has begun already somewhere.
        """
        first = day - timedelta(days=settings.NEW_DAYS + back)
        return self.filter(day__range=(first, day + timedelta(days=1)))

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
    #: Its `summary`, `keywords`, `organization` and `project_page` there, those that are known.
    hugging_face = models.JSONField("from Hugging Face", null=True, blank=True)
    is_sample = models.BooleanField("sample", default=False)
    came_in_at = models.DateTimeField(
        null=True, blank=True, help_text="When planning first saw it. Until then it is new to all."
    )
    changed_at = models.DateTimeField(db_index=True)

    #: Of its code, when last looked at. It is kept as an observation, and set by who shows it.
    stars = None

    summary, venue = wording.summary, wording.venue

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
        texts = self.pk, self.title, self.abstract, self.link, self.github, self.comments
        return number_of((*texts, names, areas, *counts, str(self.hugging_face)))

    @property
    def byline(self):
        """Return the authors as lists of papers name them: all of few, the first of many."""
        if len(self.authors) > 5:
            names, others = ", ".join(self.authors[:4]), len(self.authors) - 4
            return gettext("%(names)s and %(count)d others") % {"names": names, "count": others}
        return ", ".join(self.authors)


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


class PaperEmbedding(models.Model):
    """The sentence embedding of a paper's title and abstract: see digest/indexing/embeddings.py."""

    # The database's: the version before, which doesn't know this table, deletes papers, too.
    paper = models.OneToOneField(
        Paper, on_delete=models.DB_CASCADE, primary_key=True, related_name="embedding"
    )
    model = models.CharField(max_length=16, help_text="The identity of the model.")
    changed_at = models.DateTimeField(help_text="As the paper had it when it was read.")
    vector = models.BinaryField(help_text="Of unit length: float16, little endian.")

    def __str__(self):
        return f"{self.paper_id} by {self.model}"
