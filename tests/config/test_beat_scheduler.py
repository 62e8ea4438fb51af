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


def test_a_file_that_is_damaged_is_not_even_read(tmp_path):
    file = tmp_path / "beat-schedule"
    file.write_bytes(os.urandom(5_000))
    assert scheduler(file).schedule.keys() == app.conf.beat_schedule.keys()
    assert file.stat().st_size == 5_000


@pytest.mark.parametrize("file", ["/proc/beat-schedule", "/dev/null/beat-schedule"])
def test_where_no_file_can_be_written_beat_does_without(file):
    beat = scheduler(file)
    beat.sync()
    assert beat.schedule.keys() == app.conf.beat_schedule.keys()


def test_the_file_says_that_beat_is_alive(tmp_path):
    file = tmp_path / "beat-schedule"
    beat = scheduler(file)
    os.utime(file, (0, 0))
    beat.sync()
    assert file.stat().st_mtime > time.time() - 60
