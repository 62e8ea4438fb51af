"""The model: what it is fitted on, and that only what we stored is loaded."""

import hashlib
import io
import pickle
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from digest import fitting, planning
from tests import make
from tests.make import NOW
from tests.planned import DAY, TODAY, digests, titles

pytestmark = pytest.mark.django_db


def test_a_paper_that_is_said_to_be_of_the_future_leaves_the_corpus_as_long_as_it_is(
    settings, monkeypatch
):
    settings.CORPUS_DAYS = 3
    monkeypatch.setattr(fitting, "LEAST", 1)
    for ago in range(3):
        make.paper(f"Paper {ago}", "Bread.", day=TODAY - timedelta(days=ago))
    make.paper("A slip of the pen", "Bread.", day=TODAY.replace(year=2099))
    assert len(fitting.read_corpus(NOW)) == 4


@pytest.mark.parametrize(("least", "read"), [(1, 2), (3, 3), (9, 4)])
def test_the_model_is_fitted_on_the_last_days_and_on_older_papers_where_they_are_few(
    settings, monkeypatch, least, read
):
    settings.CORPUS_DAYS = 3
    monkeypatch.setattr(fitting, "LEAST", least)
    for age in (0, 2, 3, 30):
        make.paper(f"Graphs {age}", day=TODAY - age * DAY)
    assert fitting.fit(NOW).documents == read


def test_a_damaged_model_is_told_of_once_and_not_at_each_request(caplog):
    make.paper("Graphs")
    row = fitting.fit(NOW)
    with open(fitting.default_storage.path(row.name), "wb") as file:
        file.write(b"damaged")
    for _ in range(3):
        with pytest.raises(fitting.NotFitted):
            fitting.in_use()
    assert caplog.text.count("The model is refused, and has to be fitted anew") == 1


def test_a_damaged_model_is_refused_and_fitted_anew(caplog):
    make.paper("Graphs")
    row = fitting.fit(NOW)
    with open(fitting.default_storage.path(row.name), "wb") as file:
        file.write(b"not what was stored")
    make.subscriber(interests="graphs")

    planning.plan(NOW)

    assert "its checksum differs" in caplog.text
    assert len(titles(digests()[0])) == 1


def test_a_pickle_in_the_place_of_the_model_is_not_run_though_its_checksum_is_right(tmp_path):
    """Whoever can write files and rows still gets no code of hers to run in a worker."""

    class Deed:
        def __reduce__(self):
            return Path.touch, (tmp_path / "done",)

    make.paper("Graphs")
    row = fitting.fit(NOW)
    for payload in (pickle.dumps(Deed()), _as_npz(np.array([Deed()], dtype=object))):
        Path(fitting.default_storage.path(row.name)).write_bytes(payload)
        row.sha256 = hashlib.sha256(payload).hexdigest()
        with pytest.raises(fitting.Damaged):
            fitting.load(row)
    assert not (tmp_path / "done").exists()


def _as_npz(array):
    buffer = io.BytesIO()
    np.savez(buffer, terms=array)
    return buffer.getvalue()
