"""The model: what it is fitted on, and that only what we stored is loaded."""

import hashlib
import io
import pickle
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import default_storage

from digest.indexing import model_store
from digest.models import FittedModel
from tests.factories import make
from tests.factories.make import NOW

TODAY, DAY = NOW.date(), timedelta(days=1)

pytestmark = pytest.mark.django_db


def test_a_paper_that_is_said_to_be_of_the_future_leaves_the_corpus_as_long_as_it_is(
    settings, monkeypatch
):
    settings.CORPUS_DAYS = 3
    monkeypatch.setattr(model_store, "MIN_DOCUMENTS", 1)
    for ago in range(3):
        make.paper(f"Paper {ago}", "Bread.", day=TODAY - timedelta(days=ago))
    make.paper("A slip of the pen", "Bread.", day=TODAY.replace(year=2099))
    assert len(model_store.corpus(NOW)[0]) == 4


@pytest.mark.parametrize(("fewest", "read"), [(1, 2), (3, 3), (9, 4)])
def test_the_model_is_fitted_on_the_last_days_and_on_older_papers_where_they_are_few(
    settings, monkeypatch, fewest, read
):
    settings.CORPUS_DAYS = 3
    monkeypatch.setattr(model_store, "MIN_DOCUMENTS", fewest)
    for age in (0, 2, 3, 30):
        make.paper(f"Graphs {age}", day=TODAY - age * DAY)
    assert model_store.fit(NOW).documents == read


def test_the_corpus_is_in_the_order_of_its_days_and_each_title_counts_twice():
    for age in (0, 9, 3):
        make.paper(f"Graphs {age}", "Of\n bread.", day=TODAY - age * DAY)
    texts, days = model_store.corpus(NOW)
    assert texts == [f"Graphs {age}\nGraphs {age}\nOf bread." for age in (9, 3, 0)]
    assert days == [(TODAY - age * DAY).toordinal() for age in (9, 3, 0)]
    assert model_store.corpus(NOW) == (texts, days)


def test_a_model_of_another_version_is_refused_and_fitted_anew():
    make.paper("Graphs")
    row = model_store.fit(NOW)
    path = Path(default_storage.path(row.name))
    with np.load(path) as stored:
        arrays = dict(stored) | {"format": np.array(2)}
    np.savez(path, **arrays)
    row.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    row.save()
    with pytest.raises(model_store.NotFitted):
        model_store.in_use()
    assert model_store.current(NOW) is model_store.in_use()


def test_a_damaged_model_is_told_of_once_refused_and_fitted_anew(caplog):
    make.paper("Graphs")
    row = model_store.fit(NOW)
    Path(default_storage.path(row.name)).write_bytes(b"damaged")
    for _ in range(3):  # Not at each request.
        with pytest.raises(model_store.NotFitted):
            model_store.in_use()
    assert caplog.text.count("The model is refused, and has to be fitted anew") == 1
    assert model_store.current(NOW) is model_store.in_use()
    assert "its checksum differs" in caplog.text
    assert FittedModel.objects.count() == 2


def test_a_pickle_in_the_place_of_the_model_is_not_run_though_its_checksum_is_right(tmp_path):
    """Whoever can write files and rows still gets no code to run in a worker."""

    class Deed:
        def __reduce__(self):
            return Path.touch, (tmp_path / "done",)

    make.paper("Graphs")
    row = model_store.fit(NOW)
    for payload in (pickle.dumps(Deed()), _as_npz(np.array([Deed()], dtype=object))):
        Path(default_storage.path(row.name)).write_bytes(payload)
        row.sha256 = hashlib.sha256(payload).hexdigest()
        with pytest.raises(model_store.Damaged):
            model_store.load(row)
    assert not (tmp_path / "done").exists()


def _as_npz(array):
    buffer = io.BytesIO()
    np.savez(buffer, terms=array)
    return buffer.getvalue()
