"""The topics of a new installation. Operators change them in the admin."""

from pathlib import Path

import yaml

from digest.sources.arxiv import taxonomy
from subscriptions.models import Topic, arxiv_slug

#: The topics that are no arXiv categories: a file that can be imported as well.
SUBJECTS = Path(__file__).parent / "starter_topics.yaml"


def make_topics() -> int:
    """Create the starter topics if there are none, and so arXiv's categories. Return the number."""
    count = 0
    if not Topic.objects.curated().by_subject().exists():
        topics = yaml.safe_load(SUBJECTS.read_text(encoding="utf-8"))
        count += _create(Topic(**fields) for fields in topics)
    if not Topic.objects.curated().of_arxiv().exists():
        count += _create(
            Topic(
                slug=arxiv_slug(category),
                name=f"{category}: {name}",
                categories=[category],
                # The archive, or the group if the archive is a single category.
                description=taxonomy.ARCHIVES[
                    taxonomy.group_of(category)
                    if category in taxonomy.ARCHIVES
                    else taxonomy.archive_of(category)
                ],
            )
            for category, name in taxonomy.CATEGORIES.items()
            if taxonomy.canonical(category) == category
        )
    return count


def _create(topics):
    # Another process may create the same topics.
    return len(Topic.objects.bulk_create(topics, ignore_conflicts=True))
