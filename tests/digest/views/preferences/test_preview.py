"""What a subscriber is shown before they save: by which papers their digests would differ."""

import pytest

from digest.indexing import model_store
from digest.models import Digest
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.corpora import words
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscriber():
    for number in range(3):
        make.paper(f"Graph networks, part {number}", "Graph networks learn on graphs.")
        make.paper(f"Proteins that fold, part {number}", "Protein folding in cells.")
    model_store.fit(NOW)
    return make.subscriber(interests="graph networks")


def address(subscriber):
    return f"/preferences/{tokens.token('preferences', subscriber.public_id)}/"


def test_preview_shows_difference_and_writes_nothing(client, subscriber):
    sent = {"action": "preview", "interests": "protein folding"}
    page = client.post(address(subscriber), sent)
    assert page.status_code == 200
    assert "3 added, 3 removed." in page.text
    assert page.text.count("<mark>protein folding</mark>") == 3
    assert subscriber.preferences.get().topic.query == "graph networks"
    assert not Digest.objects.exists()
    for changed, summary in (({}, "no change."), ({"size": "1"}, "0 added, 2 removed.")):
        sent = {"action": "preview", "interests": "graph networks"} | changed
        assert summary in client.post(address(subscriber), sent).text
    sent = {"action": "preview_delivery", "size": "1"}
    assert "0 added, 2 removed." in client.post(address(subscriber), sent).text


MANY = [words(n * 40, 40) for n in range(40)]


def test_preview_without_model_says_so(client):
    page = client.post(address(make.subscriber()), {"action": "preview", "interests": "graphs"})
    assert b"papers are ranked a few minutes after" in page.content
