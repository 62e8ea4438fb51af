"""The index's life: written by workers, read by all, refused where it is damaged."""

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from digest import tasks
from digest.indexing import index_store, model_store, search
from digest.models import ArchiveFile, FittedModel, Paper
from digest.operations import retention
from digest.ranking import model as ranking_model
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, TODAY
from tests.helpers.checks import result

pytestmark = pytest.mark.django_db


def found(asked):
    return search.search(*search.in_use(), asked)[0]


def path_of(row):
    return default_storage.path(row.name)


@pytest.fixture
def indexed():
    """A paper that is in the index."""
    paper = make.paper("Graph networks", "")
    index_store.renew(NOW)
    return paper


def test_nothing_is_written_without_a_model():
    assert index_store.refresh(NOW) is False
    assert index_store.current() is None


def test_new_paper_is_found_after_refresh(indexed):
    assert found("graph") == [indexed.pk]
    assert index_store.refresh(NOW) is False
    second = make.paper("Graphs of xylophones", now=NOW + MINUTE)
    tasks.update_search_index()
    assert found("xylophone") == [second.pk]  # Which the model doesn't know.
    second.delete()
    assert index_store.refresh(NOW) is True
    assert found("graph") == [indexed.pk]


@pytest.mark.parametrize("after", [DAY, -30 * MINUTE])
def test_changed_paper_is_found_by_new_words(after, indexed):
    """Also where the change was begun before the index, and committed after it."""
    Paper.objects.filter(pk=indexed.pk).update(title="Molecules", changed_at=NOW + after)
    assert index_store.refresh(NOW + DAY) is True
    assert found("graph") == []
    assert found("molecule") == [indexed.pk]


def test_process_notices_index_of_another(monkeypatch, indexed):
    first = index_store.current()
    assert index_store.current() is first
    paper = make.paper("Molecules", now=NOW + DAY)
    noticed = index_store._checked_until
    index_store.renew(NOW + DAY)
    index_store._checked_until = noticed  # As in another process.
    assert index_store.current() is first
    monkeypatch.setattr("time.monotonic", lambda: noticed + 1)
    assert found("molecule") == [paper.pk]


def test_old_index_files_are_deleted_with_models():
    make.paper("Graph networks")
    for n in range(5):
        make.paper(f"Paper {n}", now=NOW + n * DAY)
        index_store.renew(NOW + n * DAY)
    assert ArchiveFile.objects.count() == index_store.MAX_FILES
    assert len(default_storage.listdir("archives")[1]) == index_store.MAX_FILES
    assert FittedModel.objects.count() <= index_store.MAX_FILES + 1


def test_orphaned_file_is_deleted_after_a_day(indexed):
    """Whoever wrote it was killed."""
    stray = default_storage.save("archives/begun.arrays", ContentFile(b"half"))
    now = default_storage.get_modified_time(stray)
    retention.purge(now + 23 * HOUR)
    assert default_storage.exists(stray)
    retention.purge(now + 25 * HOUR)
    assert not default_storage.exists(stray)
    assert found("graph")


def scribble(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        file.write(b"\xff" * 8)


DAMAGES = [
    os.remove,
    scribble,
    lambda path: os.truncate(path, os.path.getsize(path) // 2),
    lambda path: Path(path).write_bytes(b"\x80\x04cposix\nsystem\n."),
]


def test_damaged_index_is_rejected_and_rewritten(caplog):
    assert result("search index")[0] == "note"
    paper = make.paper("Graph networks")
    index_store.renew(NOW)
    for number, damage in enumerate(DAMAGES):
        row = ArchiveFile.objects.first()
        ArchiveFile.objects.exclude(pk=row.pk).delete()
        assert result("search index")[0] == "ok"
        damage(path_of(row))
        assert result("search index")[0] == "note"
        index_store._loaded, index_store._checked_until = None, 0.0
        caplog.clear()
        assert index_store.current() is None
        assert "The index is rejected" in caplog.text
        caplog.clear()
        assert index_store.current() is None  # Looked at again only after a while.
        assert not caplog.text
        assert index_store.refresh(NOW + number * DAY) is True
        assert found("graph") == [paper.pk]


def test_previous_index_is_used_when_last_is_damaged(indexed):
    make.paper("Graphs", now=NOW + DAY)
    index_store.renew(NOW + DAY)
    os.remove(path_of(ArchiveFile.objects.first()))
    assert found("graph") == [indexed.pk]


@pytest.mark.parametrize("had_index", [True, False])
def test_rejected_model_is_refitted_by_worker(monkeypatch, had_index, caplog):
    """After an upgrade that changed its form, or a backup that was restored without its files."""
    paper = make.paper("Graph networks")
    old = index_store.renew(NOW) if had_index else model_store.fit(NOW)
    monkeypatch.setattr(ranking_model, "FORMAT", ranking_model.FORMAT + 1)
    model_store._loaded = index_store._loaded = None
    tasks.update_search_index()
    assert "is wanted" in caplog.text
    caplog.clear()
    assert found("graph") == [paper.pk]
    assert FittedModel.objects.first() != old
    tasks.update_search_index()
    assert FittedModel.objects.count() == 2
    assert not caplog.text


def test_a_new_model_needs_no_new_index(indexed):
    model_store.fit(NOW + DAY)
    assert index_store.is_current()
    assert index_store.refresh(NOW + DAY) is False


# ---- The model: what it is fitted on, and that only what we stored is loaded


@pytest.mark.parametrize(("fewest", "read"), [(1, 3), (4, 4), (9, 5)])
def test_few_recent_papers_are_topped_up(settings, monkeypatch, fewest, read):
    """A date in the future, by a slip of the pen, doesn't shorten the corpus."""
    settings.CORPUS_DAYS = 3
    monkeypatch.setattr(model_store, "MIN_DOCUMENTS", fewest)
    for age in (-20_000, 0, 2, 3, 30):
        make.paper(f"Graphs {age}", day=TODAY - age * DAY)
    assert model_store.fit(NOW).documents == read


def test_corpus_is_chronological_with_doubled_titles():
    for age in (0, 9, 3):
        make.paper(f"Graphs {age}", "Of\n bread.", day=TODAY - age * DAY)
    texts, days = model_store.corpus(NOW)
    assert texts == [f"Graphs {age}\nGraphs {age}\nOf bread." for age in (9, 3, 0)]
    assert days == [(TODAY - age * DAY).toordinal() for age in (9, 3, 0)]


def test_damaged_model_is_reported_once_and_refitted(caplog):
    make.paper("Graphs")
    row = model_store.fit(NOW)
    Path(default_storage.path(row.name)).write_bytes(b"damaged")
    for _ in range(3):  # Not at each request.
        with pytest.raises(model_store.NotFitted):
            model_store.in_use()
    assert caplog.text.count("The model is rejected and must be fitted again") == 1
    assert model_store.current(NOW) is model_store.in_use()
    assert "wrong checksum" in caplog.text
    assert FittedModel.objects.count() == 2


def test_pickled_model_is_never_executed(tmp_path):
    """Whoever can write files and rows still gets no code to run in a worker."""

    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "done",)

    row = model_store.fit(NOW)
    buffer = io.BytesIO()
    np.savez(buffer, terms=np.array([Payload()], dtype=object))
    for payload in (pickle.dumps(Payload()), buffer.getvalue()):
        Path(path_of(row)).write_bytes(payload)
        row.sha256 = hashlib.sha256(payload).hexdigest()
        with pytest.raises(model_store.Damaged):
            model_store.load(row)
    assert not (tmp_path / "done").exists()
