"""The archive's life: written by workers, read by all, refused where it is damaged."""

import errno
import os
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from digest import archive, checkup, editions, files, fitting, tasks, upkeep
from digest.leases import Lease
from digest.models import ArchiveFile, FittedModel, Paper
from digest.ranking import model as ranking_model
from digest.ranking.searching import search
from digest.ranking.tuning import Tuning
from tests import make
from tests.make import NOW

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def found(asked):
    papers = archive.current()
    return papers.ids_at(search(papers, asked, Tuning()).papers)


def path_of(row):
    return default_storage.path(row.name)


def test_nothing_is_written_without_a_model():
    assert archive.write(NOW) is None
    assert archive.refresh(NOW) is False
    assert archive.current() is None


def test_a_new_paper_is_found_once_the_archive_is_refreshed():
    first = make.paper("Graph networks")
    archive.renew(NOW)
    assert found("graph") == [first.pk]
    assert archive.refresh(NOW) is False
    second = make.paper("Graphs of xylophones", now=NOW + timedelta(minutes=1))
    tasks.keep_archive()
    assert set(found("graph")) == {first.pk, second.pk}
    assert found("xylophone") == [second.pk]  # Which the model doesn't know.
    second.delete()
    assert archive.refresh(NOW) is True
    assert found("graph") == [first.pk]


@pytest.mark.parametrize("after", [DAY, timedelta(minutes=-30)])
def test_a_paper_that_changed_is_found_by_its_new_words(after):
    """Also where the change was begun before the archive, and committed after it."""
    paper = make.paper("Graph networks")
    archive.renew(NOW)
    Paper.objects.filter(pk=paper.pk).update(title="Molecules", changed_at=NOW + after)
    assert archive.refresh(NOW + DAY) is True
    assert found("graph") == []
    assert found("molecule") == [paper.pk]


def test_a_paper_that_changed_while_the_model_was_fitted_is_read_again():
    paper, other = make.paper("Graph networks"), make.paper("Graph cliques")
    corpus = fitting.read_corpus(NOW)
    fitting.fit(NOW, corpus)
    Paper.objects.filter(pk=paper.pk).update(title="Molecules")
    archive.write(NOW, corpus)
    assert found("graph") == [other.pk]
    assert found("molecule") == [paper.pk]


def test_a_corpus_serves_an_archive_of_a_model_that_another_process_fitted():
    make.paper("Graph networks")
    corpus = fitting.read_corpus(NOW)
    fitting.fit(NOW, corpus)
    later = make.paper("Zebras")
    fitting.fit(NOW + DAY)
    archive.write(NOW + DAY, corpus)
    assert archive.current().model.n_documents_ == 2
    assert found("zebra") == [later.pk]


def test_the_archive_follows_the_model():
    make.paper("Graph networks")
    archive.renew(NOW)
    fitting.fit(NOW)
    assert archive.refresh(NOW) is True
    assert ArchiveFile.objects.first().model == FittedModel.objects.first()


def test_the_archive_is_read_once_and_asked_for_seldom(django_assert_num_queries):
    make.paper("Graph networks")
    archive.renew(NOW)
    first = archive.current()
    with django_assert_num_queries(1):
        assert archive.current() is first
        assert archive.current() is first


def test_a_process_notices_in_a_while_what_another_has_written(monkeypatch):
    make.paper("Graph networks")
    archive.renew(NOW)
    first = archive.current()
    assert archive.current() is first
    paper = make.paper("Molecules", now=NOW + DAY)
    noticed = archive._noticed
    archive.renew(NOW + DAY)
    archive._noticed = noticed  # As in another process.
    assert archive.current() is first
    monkeypatch.setattr("time.monotonic", lambda: noticed + 1)
    assert found("molecule") == [paper.pk]


def test_old_files_go_with_their_models():
    make.paper("Graph networks")
    for n in range(5):
        make.paper(f"Paper {n}", now=NOW + n * DAY)
        archive.renew(NOW + n * DAY)
    assert ArchiveFile.objects.count() == archive.KEPT
    assert len(default_storage.listdir("archives")[1]) == archive.KEPT
    assert FittedModel.objects.count() <= archive.KEPT + 1


def test_a_file_for_which_there_is_no_room_leaves_nothing_behind():
    """It would fill the disk with what is never read, and the next try with as much again."""

    class TooLarge(ContentFile):
        def chunks(self, chunk_size=None):
            yield b"as much as there is room for"
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.keep("archives", "arrays", TooLarge(b"all of it"))
    assert default_storage.listdir("archives")[1] == []


def test_a_file_that_no_row_names_goes_after_a_day():
    """Whoever wrote it was killed."""
    make.paper("Graph networks")
    archive.renew(NOW)
    stray = default_storage.save("archives/begun.arrays", ContentFile(b"half"))
    now = default_storage.get_modified_time(stray)
    upkeep.purge(now + timedelta(hours=23))
    assert default_storage.exists(stray)
    upkeep.purge(now + timedelta(hours=25))
    assert not default_storage.exists(stray)
    assert found("graph")


def test_two_do_not_write_it_at_once():
    make.paper("Graph networks")
    fitting.fit(NOW)
    other = Lease("archive", archive.LEASE)
    assert other.take()
    assert archive.write(NOW) is None
    other.give_back()
    assert archive.write(NOW) is not None


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def empty(path):
    os.truncate(path, 0)


def scribble(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        file.write(b"\xff" * 8)


def replace(path):
    with open(path, "wb") as file:
        file.write(b"\x80\x04cposix\nsystem\n.")


@pytest.mark.parametrize("damage", [os.remove, cut, empty, scribble, replace])
def test_a_damaged_archive_is_refused_and_written_anew(damage, caplog):
    paper = make.paper("Graph networks")
    archive.renew(NOW)
    damage(path_of(ArchiveFile.objects.get()))
    assert archive.current() is None
    assert "The archive is refused" in caplog.text
    caplog.clear()
    assert archive.current() is None  # Looked at again only after a while.
    assert not caplog.text
    archive.renew(NOW)
    assert found("graph") == [paper.pk]


@pytest.mark.parametrize("damage", [os.remove, cut, scribble])
def test_a_damaged_file_is_noticed_by_the_worker_and_told_by_the_doctor(damage):
    def said():
        return next(one for one in checkup.examine(NOW) if one.what == "archive")

    assert said().grade == "note"
    make.paper("Graph networks")
    archive.renew(NOW)
    assert said().grade == "ok"
    damage(path_of(ArchiveFile.objects.get()))
    assert said().grade == "note"
    assert archive.refresh(NOW) is True
    assert archive.current() is not None


def test_the_last_but_one_is_used_where_the_last_is_damaged():
    paper = make.paper("Graph networks")
    archive.renew(NOW)
    make.paper("Graphs", now=NOW + DAY)
    archive.renew(NOW + DAY)
    os.remove(path_of(ArchiveFile.objects.first()))
    assert found("graph") == [paper.pk]


@pytest.mark.parametrize("had_archive", [True, False])
def test_a_model_that_is_refused_is_fitted_anew_with_the_archive(monkeypatch, had_archive, caplog):
    """After an upgrade that changed its form, or a backup that was restored without its files."""
    paper = make.paper("Graph networks")
    old = archive.renew(NOW) if had_archive else fitting.fit(NOW)
    monkeypatch.setattr(ranking_model, "FORMAT", ranking_model.FORMAT + 1)
    fitting._loaded = archive._loaded = None
    tasks.keep_archive()
    assert "is wanted" in caplog.text
    caplog.clear()
    assert found("graph") == [paper.pk]
    assert FittedModel.objects.first() != old
    tasks.keep_archive()
    assert FittedModel.objects.count() == 2
    assert not caplog.text


def test_a_model_whose_file_is_gone_is_stored_again_by_a_worker_that_still_has_it_in_memory():
    """Others may not: a web server that starts now finds none."""
    make.paper("Graph networks")
    os.remove(path_of(archive.renew(NOW)))
    fitting.kept(FittedModel.objects.first())
    tasks.keep_archive()
    fitting.load(FittedModel.objects.first())
    assert archive.is_current()


def test_an_archive_whose_model_is_gone_is_refused():
    make.paper("Graph networks")
    os.remove(path_of(archive.renew(NOW)))
    fitting._loaded = None
    assert archive.current() is None


def test_who_comes_while_another_loads_goes_on_with_the_last(monkeypatch):
    make.paper("Graph networks")
    archive.renew(NOW)
    last = archive.current()
    make.paper("Molecules", now=NOW + DAY)
    archive.renew(NOW + DAY)
    assert archive._loading.acquire()
    try:
        assert archive.current() is last
    finally:
        archive._loading.release()
    assert archive.current() is not last


def test_a_storage_that_is_no_folder_is_read_whole(settings):
    in_memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "default": in_memory}
    paper = make.paper("Graph networks")
    archive.renew(NOW)
    assert found("graph") == [paper.pk]


def test_issues_are_made_of_the_archive_and_read_no_text(django_assert_num_queries):
    for ago in range(10):
        make.paper(f"Graph networks {ago}", f"Of molecules {ago}.", day=NOW.date() - ago * DAY)
    fitting.fit(NOW)
    of_texts = editions.issues_until(NOW.date(), 3)
    archive.write(NOW)
    # Its row, which papers are withdrawn, and which have a title that another has.
    with django_assert_num_queries(3):
        of_archive = editions.issues_until(NOW.date(), 3)
    for one, other in zip(of_archive, of_texts, strict=True):
        assert (one.day, one.ids) == (other.day, other.ids)
        assert abs(one.edition.vectors - other.edition.vectors).max() < 1e-6
        assert (one.edition.ages == other.edition.ages).all()
