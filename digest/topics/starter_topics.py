"""The topics of a new installation, by field of research. Operators change them in the admin."""

from pathlib import Path

import yaml
from django.conf import settings
from django.db import transaction

from digest.models import SourceConfig
from digest.papers import registry
from subscriptions.models.topics import Topic, category_slug

#: A file of topics a field, which can be imported as well.
FOLDER = Path(__file__).parent / "fields"


#: Fields of research -> the sources with their papers.
FIELDS = {
    "computer-science": ("arxiv", "huggingface"),
    "physics": ("arxiv",),
    "mathematics": ("arxiv",),
    "biology": ("biorxiv", "europepmc"),
    "medicine": ("medrxiv", "europepmc"),
    "chemistry": ("europepmc",),
    "economics": ("arxiv",),
}


def topics_of(field: str) -> list[Topic]:
    """Return the starter topics of a field, unsaved."""
    text = (FOLDER / f"{field}.yaml").read_text(encoding="utf-8")
    return [Topic(**values) for values in yaml.safe_load(text)]


def fields_in_use() -> list[str]:
    """Return the fields of which there are starter topics."""
    slugs = set(Topic.objects.curated().by_subject().values_list("slug", flat=True))
    return [field for field in FIELDS if slugs & {topic.slug for topic in topics_of(field)}]


def make_topics() -> int:
    """Create what is missing, and return the number of topics.

    Computer science if there are no subjects, and the categories of the sources that are on.
    """
    count = 0
    if not Topic.objects.curated().by_subject().exists():
        count += _create(topics_of("computer-science"))
    # Where SOURCES is set, even to nothing, arXiv's papers may be imported from files.
    sources = registry.enabled() if settings.SOURCES is None else ["arxiv", *registry.enabled()]
    for source in sources:
        if not Topic.objects.curated().of_categories(source).exists():
            count += _create(_categories_of(source))
    return count


def use_fields(fields) -> tuple[int, int]:
    """Create the starter topics of these fields, and switch the sources for them.

    Removes the starter topics of other fields that nobody changed, follows or mutes. Leaves sources
    that SOURCES fixes. Returns the numbers of topics that were created and removed.
    """
    topic_fields = ("slug", "name", "description", "query", "categories", "is_offered")
    created = removed = 0
    with transaction.atomic():
        for field in FIELDS:
            topics = topics_of(field)
            if field in fields:
                rows = Topic.objects.filter(slug__in=[topic.slug for topic in topics])
                stored_slugs = set(rows.values_list("slug", flat=True))
                created += _create([topic for topic in topics if topic.slug not in stored_slugs])
                continue
            for topic in topics:
                unchanged = {name: getattr(topic, name) for name in topic_fields}
                unused = Topic.objects.curated().filter(preferences=None, **unchanged)
                removed += unused.delete()[0]
        if settings.SOURCES is None:
            source_names = {name for field in fields for name in FIELDS[field]}
            for row in SourceConfig.objects.filter(name__in=registry.SOURCES):
                if row.is_on != (row.name in source_names):
                    row.is_on = not row.is_on
                    row.save(update_fields=["is_on"])
                    offer_categories(row)
    return created, removed


def offer_categories(source: SourceConfig) -> None:
    """Offer the categories of a source that was switched on, or withdraw them.

    Subscribers who chose a category keep it.
    """
    topics = Topic.objects.curated().of_categories(source.name)
    categories = _categories_of(source.name)
    if source.is_on and not topics.exists():
        _create(categories)
    elif categories:
        topics.update(is_offered=source.is_on)


def _categories_of(source):
    categories = registry.SOURCES[source].topics if source in registry.SOURCES else {}
    topics = []
    for category, (name, group) in categories.items():
        slug = category_slug(category, source)
        topics.append(Topic(slug=slug, name=name, categories=[category], description=group))
    return topics


def _create(topics):
    # Another process may create the same topics.
    return len(Topic.objects.bulk_create(topics, ignore_conflicts=True))
