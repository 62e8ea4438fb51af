"""Beat that remembers nothing: the schedule is static, and each tick asks the database what is due.

Celery's own keeps its times in a file, and doesn't begin where that can't be written.
"""

from contextlib import suppress
from pathlib import Path

from celery import beat


class Scheduler(beat.Scheduler):
    """Only touches the file that `--schedule` names, every three minutes, as a sign of life."""

    def __init__(self, *args, schedule_filename: str | None = None, **kwargs):
        self.sign = Path(schedule_filename) if schedule_filename else None
        super().__init__(*args, **kwargs)

    def setup_schedule(self):
        super().setup_schedule()
        self.sync()

    def sync(self):
        if self.sign is not None:
            with suppress(OSError):
                self.sign.touch()
