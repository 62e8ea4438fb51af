"""The file of what `manage.py once` has sent: a line for each email, its day and its papers.

    2026-11-25 2511.04321 2511.04567

It outlives the database: what it says is not sent again.
"""

import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError

from digest.models import Digest, Paper, Pick
from subscriptions import schedule
from subscriptions.models import Letter, Subscriber

ONE_DAY = timedelta(days=1)


def read(path: Path) -> dict[date, list[str]]:
    """Return the ids of the sent papers by day. Raises CommandError for another line."""
    days = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        day, *ids = line.split() or [""]
        try:
            days[date.fromisoformat(day)] = ids
        except ValueError:
            raise CommandError(
                f"{path.name}, line {number}: this is not a day with ids of papers. Remove it."
            ) from None
    return days


def restore(subscriber: Subscriber, days: dict[date, list[str]], now) -> None:
    """Store the days and papers that the database does not know as sent.

    A paper that has not come in yet follows in a later run. Papers dated before the last unknown
    day are not new: a run that the database does not know has seen them.
    """
    oldest = now.date() - settings.KEEP_LETTERS
    known_ids = {*Pick.objects.filter(subscriber=subscriber).values_list("paper", flat=True)}
    digests = {digest.day: digest for digest in subscriber.digests.all()}
    for day, ids in days.items():
        if day < oldest:
            continue
        if (digest := digests.get(day)) is None:
            digest = _create_sent(subscriber, day, now)
            last_seen = datetime.combine(day, time(), UTC) - ONE_DAY
            seen = Paper.objects.filter(came_in_at=None, day__lt=day - ONE_DAY)
            seen.update(came_in_at=last_seen)
        papers = Paper.objects.in_bulk({*ids} - known_ids)
        Pick.objects.bulk_create(
            Pick(digest=digest, subscriber=subscriber, paper=papers[pk], position=place, score=0)
            for place, pk in enumerate(dict.fromkeys(ids), start=1)
            if pk in papers
        )
        known_ids |= papers.keys()


def _create_sent(subscriber, day, now) -> Digest:
    letter = subscriber.letters.create(
        kind=Letter.Kind.DIGEST,
        day=day,
        state=Letter.State.ACCEPTED,
        reason=Letter.COUNTED_AS_SENT,
        created_at=now,
        ended_at=now,
        closes_at=schedule.send_deadline(day, subscriber.zone),
    )
    return Digest.objects.create(subscriber=subscriber, letter=letter, day=day)


def append(subscriber: Subscriber, path: Path) -> None:
    """Add the days that were sent and are not in the file, which is replaced as a whole."""
    days = read(path)
    lines = []
    for digest in subscriber.digests.filter(letter__state=Letter.State.ACCEPTED).order_by("day"):
        if digest.day not in days:
            ids = digest.picks.order_by("leader", "position").values_list("paper", flat=True)
            lines.append(" ".join([digest.day.isoformat(), *ids]))
    if lines:
        old_lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        draft = path.with_name(f"{path.name}.part")
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in [*old_lines, *lines])
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
