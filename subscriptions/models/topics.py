"""Topics, and the preferences that subscribers have for them."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.text import slugify

from subscriptions.models.subscribers import Subscriber

#: Sources whose categories are topics. The slugs of these topics begin with the source's name.
CATEGORY_SOURCES = ("arxiv", "biorxiv", "medrxiv")
MAX_QUERIES = 50  # That a subscriber follows, or mutes.
MAX_QUERY_LENGTH = 20_000  # Characters. A pasted home page has ten thousand.


class TopicQuerySet(models.QuerySet):
    def curated(self):
        """Filter by topics that every subscriber can choose."""
        return self.filter(owner__isnull=True)

    def offered(self):
        """Filter by topics that the forms show to everyone."""
        return self.curated().filter(is_offered=True)

    def offered_with(self, slugs):
        """Filter by offered topics, and by those with these slugs, even if withdrawn."""
        return self.curated().filter(Q(is_offered=True) | Q(slug__in=without_nul(slugs)))

    def offered_to(self, subscriber):
        """Filter by offered topics, and by those that the subscriber chose before withdrawal."""
        has_preference = Q(pk__in=subscriber.preferences.values("topic"))  # A join scans all rows.
        return self.curated().filter(Q(is_offered=True) | has_preference)

    def followed(self):
        """Filter by topics that subscribers follow, once for each of them."""
        return self.filter(
            preferences__stance=TopicPreference.Stance.FOLLOW,
            preferences__subscriber__in=Subscriber.objects.subscribed(),
        )

    def by_subject(self):
        """Filter by topics that are not categories of a source."""
        return self.exclude(_is_category(CATEGORY_SOURCES))

    def of_categories(self, *sources):
        """Filter by topics that are categories of these sources, or of any."""
        categories = self.filter(_is_category(sources or CATEGORY_SOURCES))
        return categories.order_by("description", "name", "pk")

    def grouped(self):
        """Return the context of a form: subjects and categories, both evaluated."""
        return {"subjects": list(self.by_subject()), "categories": list(self.of_categories())}


def _is_category(sources):
    return Q(*(("slug__startswith", f"{name}-") for name in sources), _connector=Q.OR)


def category_slug(category, source="arxiv"):
    """Return the slug of the topic of a source's category."""
    return f"{source}-{slugify(category.replace('.', '-'))}"


def without_nul(slugs):
    """Return the slugs that can be a PostgreSQL parameter: texts there have no NUL."""
    return [slug for slug in slugs if "\0" not in slug]


class Topic(models.Model):
    """A named interest with its query. Curated in the admin, or owned by one subscriber."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, null=True, blank=True, unique=True)
    query = models.TextField(
        max_length=MAX_QUERY_LENGTH,
        blank=True,
        help_text="Words, phrases or sentences, separated by commas.",
    )
    categories = models.JSONField(
        default=list, blank=True, help_text="With a query, only their papers that match it."
    )
    description = models.CharField(max_length=300, blank=True)
    is_offered = models.BooleanField(
        "offered", default=True, help_text="Shown to subscribers who choose topics."
    )
    kind = models.CharField(
        max_length=10,
        blank=True,
        default="",
        db_default="",
        help_text="What the query of a subscriber's own topic is: see digest.interests.entries.",
    )
    owner = models.ForeignKey(
        Subscriber, null=True, blank=True, on_delete=models.CASCADE, related_name="own_topics"
    )

    objects = TopicQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(owner__isnull=True, slug__isnull=False)
                | Q(owner__isnull=False, slug__isnull=True),
                name="curated_topics_have_a_slug",
                violation_error_message="A built-in topic needs a slug.",
            )
        ]

    def __str__(self):
        return self.name

    @staticmethod
    def name_of(query: str) -> str:
        """Return the name of a subscriber's own topic."""
        return " ".join(query.split())[:200]

    @property
    def phrase(self):
        """The first phrase of its query."""
        return self.query.partition(",")[0]

    def clean(self):
        for field in ("name", "description"):
            if not getattr(self, field).isprintable():
                raise ValidationError({field: "This must be one line, without control characters."})
        if "\0" in self.query:
            raise ValidationError({"query": "Null characters are not allowed."})
        if len(self.query) > MAX_QUERY_LENGTH:
            raise ValidationError({"query": f"This has more than {MAX_QUERY_LENGTH} characters."})
        self.categories = self.categories or []  # An emptied form field gives None.
        if not isinstance(self.categories, list) or not all(
            isinstance(category, str) and category for category in self.categories
        ):
            raise ValidationError('Categories are a list of names, such as ["cs.LG", "stat.ML"].')
        if not self.query.strip() and not self.categories:
            raise ValidationError("A topic needs a query or categories.")


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
