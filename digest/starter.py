"""The topics that a new installation begins with. Operators change them in the admin panel."""

from pathlib import Path

import yaml

from digest.sources import taxonomy
from subscriptions.models import Topic, arxiv_slug

#: Those that are no arXiv categories. It can be imported as any file of topics can.
SUBJECTS = Path(__file__).parent / "starter_topics.yaml"


def make_topics() -> int:
    """Make the starter topics where the house has none yet. Return how many were made.

    arXiv's categories are topics too; where none of them is, all are made.
    """
    return _make_subjects() + _make_categories()


def _make_categories():
    if Topic.objects.curated().of_arxiv().exists():
        return 0
    return len(
        Topic.objects.bulk_create(
            (
                Topic(
                    slug=arxiv_slug(category),
                    name=f"{category}: {name}",
                    categories=[category],
                    description=_heading(category),
                )
                for category, name in taxonomy.CATEGORIES.items()
                if taxonomy.canonical(category) == category
            ),
            ignore_conflicts=True,
        )
    )


def _heading(category):
    """Return the archive's name. An archive that is a single category stands under its group."""
    is_single = category in taxonomy.ARCHIVES
    return taxonomy.ARCHIVES[(taxonomy.group_of if is_single else taxonomy.archive_of)(category)]


def _make_subjects():
    if Topic.objects.curated().by_subject().exists():
        return 0
    topics = yaml.safe_load(SUBJECTS.read_text(encoding="utf-8"))
    # Others may start at this moment, too.
    return len(Topic.objects.bulk_create((Topic(**one) for one in topics), ignore_conflicts=True))
