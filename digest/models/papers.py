"""Papers, their popularity, and what happened to them."""

import re
from datetime import timedelta
from functools import cache, lru_cache
from itertools import count
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from digest.models.title_lookup import Beginning
from digest.sources.biorxiv.source import SERVERS

#: cs.LG, hep-th or cell biology, but not I.2.6.
CATEGORY = re.compile(r"[a-z][A-Za-z-]*(\.[A-Za-z-]+)?|[a-z]+([ /][a-z-]+)+")

#: A DOI may contain more, but no blank, brace or backslash.
DOI = re.compile(r"10\.\d{4,9}/[^\s{}\\]+")

#: Characters that need no quoting in the path of a URL (RFC 3986, 3.3).
IN_PATHS = "/!$&'()*+,;=:@~"

_numbers = count(1)


@lru_cache(50_000)
def number_of(values: tuple) -> int:
    """Return a unique number for the tuple, for keys of caches.

    Equal tuples get the same number, or a new one if the first is no longer cached.
    """
    return next(_numbers)


@cache
def _address_of_papers():
    """Return the beginning of papers' URLs: reverse() for each would take ten times as long."""
    return reverse("paper", args=["-"]).removesuffix("-/")


class PaperQuerySet(models.QuerySet):
    def new_on(self, day, back=0):
        """Papers dated within NEW_DAYS of this day, or of one of the days `back`.

        Includes tomorrow, which has begun in some time zones.
        """
        first_day = day - timedelta(days=settings.NEW_DAYS + back)
        return self.filter(day__range=(first_day, day + timedelta(days=1)))

    def with_doi(self, dois):
        """Papers with one of these DOIs, in lower case. Annotates it as `lower_doi`."""
        return self.annotate(lower_doi=Lower("doi")).filter(doi__gt="", lower_doi__in=dois)

    def with_stars(self):
        """Annotate the latest number of GitHub stars."""
        rows = Observation.objects.filter(paper=OuterRef("pk"), github_stars__isnull=False)
        return self.annotate(stars=Subquery(rows.order_by("-day").values("github_stars")[:1]))


class Paper(models.Model):
    """One work. Its texts contain no markup, no LaTeX and no control characters."""

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
    #: Any of `summary`, `keywords`, `organization` and `project_page`.
    hugging_face = models.JSONField("from Hugging Face", null=True, blank=True)
    affiliations = models.JSONField(default=list, db_default=[], blank=True)
    is_sample = models.BooleanField("sample", default=False)
    came_in_at = models.DateTimeField(
        null=True, blank=True, help_text="When planning first saw it. Until then it is new to all."
    )
    changed_at = models.DateTimeField(db_index=True)

    #: The latest number of GitHub stars, from the observations. Set where it is shown.
    stars = None
    #: The summary in a subscriber's language. Set where it is shown.
    llm_summary: "Summary | None" = None

    objects = PaperQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "id"]
        indexes = [
            models.Index(Beginning("title"), name="papers_by_title"),
            models.Index(Lower("doi"), condition=Q(doi__gt=""), name="papers_by_doi"),
        ]

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        return f"{_address_of_papers()}{quote(self.pk, safe=IN_PATHS)}/"

    @property
    def may_have_news(self):
        """Return whether there may be events of this paper, without a query."""
        is_revised = self.version is not None and self.version > 1
        return bool(is_revised or self.is_withdrawn or self.journal_ref or self.github)

    @property
    def is_arxiv(self):
        return ":" not in self.id

    @property
    def server(self):
        """Return the preprint server of its id, or the journal, or an empty string."""
        prefix = self.id.partition(":")[0]
        names = {**SERVERS, "doi": self.journal_ref}
        return "arXiv" if self.is_arxiv else names.get(prefix, "")

    @property
    def link(self):
        """Return the URL of the paper, or an empty string."""
        if self.url:
            return self.url
        return f"https://arxiv.org/abs/{self.id}" if self.is_arxiv else ""

    @property
    def link_server(self):
        """Return the preprint server or journal that its link leads to, or an empty string."""
        host = (urlsplit(self.link).hostname or "").removeprefix("www.")
        return self.server if host == ("arxiv.org" if self.is_arxiv else "doi.org") else ""

    @property
    def link_label(self):
        """Return the text of its link: "Read at arXiv"."""
        server = self.link_server
        return gettext("Read at %(server)s") % {"server": server} if server else gettext("Read")

    @property
    def pdf(self):
        """Return the URL of the PDF, or an empty string."""
        return f"https://arxiv.org/pdf/{self.id}" if self.is_arxiv else ""

    @property
    def first_doi(self):
        """Return the first of its DOIs, or an empty string."""
        match = DOI.search(self.doi)
        return match[0].rstrip(".,;") if match else ""

    @property
    def full_text(self):
        """Return the URL of the full text by LIBRARY_LINK, or an empty string."""
        doi = self.first_doi
        return settings.LIBRARY_LINK.replace("{doi}", quote(doi)) if doi else ""

    @property
    def fields(self):
        """Return its categories, without codes of other classifications."""
        return [category for category in self.categories if CATEGORY.fullmatch(category)]

    @cached_property
    def email_content_key(self) -> int:
        """Return a number that is equal for papers that look the same in an email."""
        names, areas = tuple(self.authors), tuple(self.categories)
        counts = self.upvotes, self.stars, self.is_sample
        texts = self.pk, self.title, self.abstract, self.comments, str(self.hugging_face)
        if self.llm_summary:
            texts += self.llm_summary.title, self.llm_summary.text, self.llm_summary.model
        links = self.link, self.github, self.server, self.full_text
        return number_of((*texts, *links, names, areas, *counts))

    @property
    def byline(self):
        """Return the authors for lists of papers: up to five, or the first four."""
        if len(self.authors) > 5:
            names, n_more = ", ".join(self.authors[:4]), len(self.authors) - 4
            return gettext("%(names)s and %(count)d others") % {"names": names, "count": n_more}
        return ", ".join(self.authors)

    @property
    def institutions(self):
        """Return up to three affiliations."""
        names, n_more = "; ".join(self.affiliations[:3]), len(self.affiliations) - 3
        if n_more > 0:
            return gettext("%(names)s and %(count)d more") % {"names": names, "count": n_more}
        return names


class Observation(models.Model):
    """The popularity of a paper on one day, by one source."""

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
    """Something that happened to a paper after it was stored."""

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

    paper = models.OneToOneField(
        Paper, on_delete=models.DB_CASCADE, primary_key=True, related_name="embedding"
    )
    model = models.CharField(max_length=16, help_text="The identity of the model.")
    changed_at = models.DateTimeField(help_text="As the paper had it when it was read.")
    vector = models.BinaryField(help_text="Of unit length: float16, little endian.")

    def __str__(self):
        return f"{self.paper_id} by {self.model}"


class Summary(models.Model):
    """What a language model wrote of a paper in one language: see digest/papers/summaries.py.

    Without `text`, the model did not answer, or its answer was refused. `source`, `model` and
    `prompt` say what it was made of: it is written anew when one of them changes.
    """

    paper = models.ForeignKey(
        Paper, on_delete=models.DB_CASCADE, related_name="summaries", db_index=False
    )
    language = models.CharField(max_length=16)
    source = models.CharField(max_length=32, help_text="Hash of the title and the abstract.")
    model = models.TextField()
    prompt = models.PositiveSmallIntegerField("version of the prompt")
    title = models.TextField(blank=True)
    text = models.TextField(blank=True)
    refused = models.CharField(max_length=100, blank=True, help_text="Why it was not taken.")
    day = models.DateField(db_index=True, help_text="Of the last call, in UTC.")
    calls = models.PositiveIntegerField(help_text="On this day.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["paper", "language"], name="one_summary_a_paper_and_language"
            ),
        ]

    def __str__(self):
        return f"{self.paper_id} in {self.language} by {self.model}"
