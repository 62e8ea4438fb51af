"""Beat, whose file is a sign of life and nothing more (fault 37)."""

import os
import time

import pytest
from celery.beat import Service

from config.celery import app


def scheduler(file):
    """Return the scheduler as `celery beat --schedule FILE` makes it."""
    beat = Service(app, scheduler_cls=app.conf.beat_scheduler, schedule_filename=str(file))
    return beat.get_scheduler()


def test_damaged_file_is_not_read(tmp_path):
    file = tmp_path / "beat-schedule"
    file.write_bytes(os.urandom(5_000))
    assert scheduler(file).schedule.keys() == app.conf.beat_schedule.keys()
    assert file.stat().st_size == 5_000


@pytest.mark.parametrize("file", ["/proc/beat-schedule", "/dev/null/beat-schedule"])
def test_beat_runs_without_a_writable_file(file):
    beat = scheduler(file)
    beat.sync()
    assert beat.schedule.keys() == app.conf.beat_schedule.keys()


def test_file_shows_that_beat_is_alive(tmp_path):
    file = tmp_path / "beat-schedule"
    beat = scheduler(file)
    os.utime(file, (0, 0))
    beat.sync()
    assert file.stat().st_mtime > time.time() - 60
