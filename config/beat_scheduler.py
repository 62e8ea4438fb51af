"""A Celery beat scheduler without state: each tick asks the database what is due.

Celery's own keeps its times in a file, and does not start if it cannot write it.
"""

from contextlib import suppress
from pathlib import Path

from celery import beat


class Scheduler(beat.Scheduler):
    """Touches the file that `--schedule` names every three minutes, as a sign of life."""

    def __init__(self, *args, schedule_filename: str | None = None, **kwargs):
        self.heartbeat = Path(schedule_filename) if schedule_filename else None
        super().__init__(*args, **kwargs)

    def setup_schedule(self):
        super().setup_schedule()
        self.sync()

    def sync(self):
        if self.heartbeat is not None:
            with suppress(OSError):
                self.heartbeat.touch()
