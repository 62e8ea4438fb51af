"""What a web process makes ready, so that the first visitor doesn't wait for it."""

import pytest
from django.db import OperationalError
from django.http import QueryDict

from digest.indexing import index_store
from digest.management import warmup
from digest.planning import preview
from digest.topics import starter_topics
from digest.views.subscribing.preview import parts_for
from tests.factories import make
from tests.factories.explanations import background_papers
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def papers():
    starter_topics.make_topics()
    for number in range(3):
        make.paper(f"Robots that grasp, part {number}", make.about("robots"))
    background_papers()


def test_warm_process_serves_first_visitor_from_memory(papers, monkeypatch):
    index_store.renew(NOW)
    made = warmup.warm()
    monkeypatch.setattr(index_store, "load", None)
    assert preview.windows(NOW)[0] is made
    parts = parts_for(QueryDict("interests=robots"), NOW)
    assert "Robots that grasp" in parts.digest


def test_warmup_repeats_only_for_new_papers(papers, monkeypatch):
    index_store.renew(NOW)
    made, tried = warmup.warm(), []
    monkeypatch.setattr("digest.views.search.find", tried.append)
    assert warmup.warm(made) is made
    assert tried == []
    make.paper("Robots that walk", "A robot walks.")
    index_store.write(NOW)
    assert warmup.warm(made) is not made
    assert len(tried) == 1


@pytest.mark.parametrize(("error", "is_logged"), [(OperationalError, False), (ValueError, True)])
def test_warmup_errors_are_not_raised(papers, monkeypatch, caplog, error, is_logged):
    def broken(now):
        raise error

    index_store.renew(NOW)
    monkeypatch.setattr(preview, "windows", broken)
    assert warmup.warm() is None
    assert ("Cannot load the ranking model" in caplog.text) is is_logged
