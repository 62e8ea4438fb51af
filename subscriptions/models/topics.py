"""What readers care about: topics, and each one's stance on them."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.text import slugify

from subscriptions.models.subscribers import Subscriber

#: How the slugs of those topics begin that are arXiv's categories.
ARXIV = "arxiv-"
MAX_QUERY_LENGTH = 2000


class TopicQuerySet(models.QuerySet):
    def curated(self):
        """Those of the house, which every reader may choose."""
        return self.filter(owner__isnull=True, merged_into__isnull=True)

    def merged(self):
        """Those that went into another. Their slugs still lead there."""
        return self.filter(merged_into__isnull=False)

    def standing_for(self, topics):
        """Those of the house that now stand for topics with these ids."""
        itself, into = Q(pk__in=topics), Q(merged__in=topics)
        return self.curated().filter(itself | into).distinct()

    def offered(self):
        """Those that the forms show."""
        return self.curated().filter(is_offered=True)

    def offered_beside(self, slugs):
        """Those that the forms show to one who came for these, maybe withdrawn, ones."""
        return self.curated().filter(Q(is_offered=True) | Q(slug__in=sayable(slugs)))

    def offered_to(self, subscriber):
        """Those that the forms show to her: also what she chose before it was withdrawn."""
        hers = Q(pk__in=subscriber.preferences.values("topic"))  # A join would be of all readers'.
        return self.curated().filter(Q(is_offered=True) | hers)

    def by_subject(self):
        """Those that are no arXiv categories by name."""
        return self.exclude(slug__startswith=ARXIV)

    def of_arxiv(self):
        """Those that are arXiv's categories, one after the other by what describes them."""
        return self.filter(slug__startswith=ARXIV).order_by("description", "name", "pk")

    def apart(self):
        """Return both of these, read, for a page. A template's `or` takes what breaks for none."""
        return {"subjects": list(self.by_subject()), "categories": list(self.of_arxiv())}

    def slugs_today(self, slugs):
        """Return the slugs, each once: for one that was merged, that of the topic which stays."""
        if not slugs:
            return []
        gone = self.merged().filter(slug__in=sayable(slugs))
        stays = dict(gone.values_list("slug", "merged_into__slug"))
        return list(dict.fromkeys(stays.get(slug, slug) for slug in slugs))


def arxiv_slug(category):
    """Return the slug of the topic that is this category of arXiv's."""
    return ARXIV + slugify(category.replace(".", "-"))


def sayable(slugs):
    """Return those that PostgreSQL can be asked for: its texts have no NUL."""
    return [slug for slug in slugs if "\0" not in slug]


class Topic(models.Model):
    """A named interest: words to look for. Curated in the admin panel, or one reader's own."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, null=True, blank=True, unique=True)
    query = models.TextField(
        max_length=MAX_QUERY_LENGTH,
        blank=True,
        help_text="What its papers are about: words, phrases, whole sentences. Commas part them.",
    )
    categories = models.JSONField(
        default=list,
        blank=True,
        help_text="arXiv categories: all of their papers, or those of them that match the query.",
    )
    description = models.CharField(max_length=300, blank=True)
    is_offered = models.BooleanField(
        "offered", default=True, help_text="Shown where people choose topics."
    )
    owner = models.ForeignKey(
        Subscriber, null=True, blank=True, on_delete=models.CASCADE, related_name="own_topics"
    )
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="merged"
    )

    objects = TopicQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            # Curated topics have an address; a reader's own have her.
            models.CheckConstraint(
                condition=Q(owner__isnull=True, slug__isnull=False)
                | Q(owner__isnull=False, slug__isnull=True),
                name="curated_topics_have_a_slug",
                violation_error_message="A topic of the house needs a slug.",
            )
        ]

    def __str__(self):
        return self.name

    @property
    def today(self):
        """Return the topic that stands for it: itself, or the one that it was merged into."""
        return self.merged_into or self

    def clean(self):
        for field in ("name", "description"):
            if not getattr(self, field).isprintable():
                raise ValidationError({field: "This must be one line, without control characters."})
        if "\0" in self.query:
            raise ValidationError({"query": "Null characters are not allowed."})
        if len(self.query) > MAX_QUERY_LENGTH:
            raise ValidationError({"query": f"This has more than {MAX_QUERY_LENGTH} characters."})
        self.categories = self.categories or []  # An emptied field of a form says None.
        if not isinstance(self.categories, list) or not all(
            isinstance(category, str) and category for category in self.categories
        ):
            raise ValidationError('Categories are a list of names, such as ["cs.LG", "stat.ML"].')
        if not self.query.strip() and not self.categories:
            raise ValidationError("A topic needs a query or arXiv categories.")


class TopicPreference(models.Model):
    """One subscriber's stance on one topic."""

    class Stance(models.TextChoices):
        FOLLOW = "follow"
        MUTE = "mute"

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="preferences")
    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, related_name="preferences")
    stance = models.CharField(max_length=6, choices=Stance, default=Stance.FOLLOW)
    weight = models.FloatField(
        default=1.0, validators=[MinValueValidator(0.1), MaxValueValidator(10.0)]
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "topic"], name="one_stance_a_topic"),
            models.CheckConstraint(condition=Q(weight__gt=0), name="weight_above_zero"),
        ]

    def __str__(self):
        return f"{self.stance} {self.topic}"
