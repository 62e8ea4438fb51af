"""How the fields of interests are read."""

from itertools import chain

import pytest

from digest.indexing import index_store
from digest.personalization import interests
from digest.views.forms.interests import InterestsForm
from subscriptions.models.topics import MAX_QUERIES
from tests.factories import make
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def papers(settings):
    settings.LOOK_UPS = True
    for number in range(3):
        make.paper(f"Tea {number}", id=f"2606.0000{number}", doi=f"10.1234/{number}")
    index_store.renew(NOW)


def test_all_references_are_found(papers):
    text = "10.1234/0, 2606.00001\npaper: 10.1234/2\n10.1234/9 2606.00009v2"
    entries = [(entry.kind, entry.text) for entry in interests.read(text)]
    ids = ["2606.00000", "2606.00001", "2606.00002", "doi:10.1234/9", "2606.00009"]
    assert entries == [("paper", paper_id) for paper_id in ids]


def test_a_label_does_not_hide_that_interests_are_too_many():
    lines = ["Research interests:", *(f"subject {number}" for number in range(MAX_QUERIES + 1))]
    fields = {"topics": [], "mute": [], "interests": "\n".join(lines)}
    form = InterestsForm(fields, subscriber=make.subscriber())
    assert "interests" in form.errors


def test_long_text_is_refused_unless_stored():
    lines = [f"tea{number} {'green tea ' * 180}".strip() for number in range(MAX_QUERIES)]
    stored = make.subscriber(interests="\n".join(lines))
    stored.own_topics.update(kind="words")
    text = "\n".join(chain(*interests.stored_lines(stored)))
    fields = {"topics": [], "mute": [], "interests": text}
    assert InterestsForm(fields, subscriber=stored).is_valid()
    assert "interests" in InterestsForm(fields, subscriber=None).errors


def test_papers_of_long_bibliography_are_read():
    lines = [f"paper: Title {number} | {'x ' * 900}" for number in range(MAX_QUERIES)]
    assert len(interests.read("\n".join(lines))) == MAX_QUERIES
