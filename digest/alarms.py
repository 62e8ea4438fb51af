"""What is wrong, told once when it begins and once when it ends: in the log, the panel, a webhook.

Whoever looks writes down what it found, so that many may look: each minute a worker does, on beat's
word, and every web process by itself, so that somebody notices when beat is dead. An alarm ends
when nobody has found it for a while. docs/runbook.md says of each what to do.
"""

import logging
import random
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from time import sleep

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q, Value
from django.db.models.functions import Greatest
from django.db.utils import DatabaseError, Error, InterfaceError, InternalError, OperationalError

from digest import coverage, heartbeats, promises
from digest.leases import Lease
from digest.models import Alarm, Harvest
from subscriptions import limits
from subscriptions.models import Letter
from subscriptions.post import clock, refusals, sending, status
from subscriptions.post.status import utc

logger = logging.getLogger(__name__)

STILL = timedelta(minutes=5)  # So long without a tick, beat or all workers are dead.
ANSWER = timedelta(minutes=2)  # Mail servers that are well take seconds to answer.
BROKEN = timedelta(hours=3)  # So long a source may fail before somebody is called.
FORGOTTEN = timedelta(hours=1)  # Whoever stopped sending for longer may have forgotten it.
ROOM, MUCH_ROOM = 0.05, 2 * 10**9  # Of a disk, the lesser of this share and so many bytes.

EACH_MINUTE = 60  # Seconds.
SEEN_FOR = timedelta(minutes=3)  # So long an alarm holds that is looked for each minute.
SEEN_FOR_SELDOM = timedelta(minutes=20)  # Each five minutes, or from one machine of several.
SEEN_FOR_AN_HOUR = timedelta(minutes=80)  # Each hour.
TELLING = timedelta(minutes=1)  # So long one process has the right to tell.
ELSEWHERE = ("promises", "disk", "refused")  # Alarms that not every process can find.
SILENCES = 2  # So many looks in a row the database doesn't answer before somebody is called.


#: All alarms that there are: headings of docs/runbook.md.
NAMES = (
    *("beat", "breaker", "database", "disk", "flood", "letters", "papers", "planning"),
    *("promises", "refused", "source", "stopped", "uncertain"),
)


@dataclass(frozen=True)
class Found:
    """Something that is wrong now. `subject` is which, where there may be several at a time.

    `said` holds no address, but may hold what is nobody's business outside, such as a machine's
    name. `holds_for` is how long it counts without being found again.
    """

    name: str
    said: str
    subject: str = ""
    holds_for: timedelta = SEEN_FOR


# ---- What is looked at each minute, by cheap questions


def _beat(now) -> Iterator[Found]:
    """Never a tick is no alarm: a database in which nothing has run yet has nobody to wait."""
    last = heartbeats.last(heartbeats.TICK)
    if last is None or last >= now - STILL:
        return
    why = "beat is dead, or all workers are, or their clocks are a minute apart"
    # A worker that waits for the mail server's answer ticks no more, and isn't what to mend.
    transmitting = Letter.objects.open().filter(state=Letter.State.TRANSMITTING)
    if count := transmitting.filter(left_at__lte=now - ANSWER).count():
        waiting = f"{_many(count, 'letter')} waiting for the mail server's answer"
        why = f"{waiting}, and keep{'s' if count == 1 else ''} workers from all else"
    yield Found("beat", f"The last tick was {utc(last)}: {why}.")


def _planning(now):
    count, since = _count_since(promises.overdue(now, settings.ALARM_LATE), "next_due_at")
    if count:
        yield Found("planning", f"{_many(count, 'digest')} not planned, due since {utc(since)}.")


def _letters(now):
    """Letters that don't leave. Where none may, the reason is an alarm of its own."""
    if sending.current().why_not(now):
        return
    count, since = _count_since(Letter.objects.due(now - settings.ALARM_LATE), "next_try_at")
    if count:
        yield Found("letters", f"{_many(count, 'letter')} waiting for a worker since {utc(since)}.")


def _count_since(rows, moment):
    """Return how many there are, and the first moment: at once, since others see to them."""
    found = rows.aggregate(count=Count("pk"), since=Min(moment))
    return found["count"], found["since"]


def _uncertain(now):
    if count := Letter.objects.open().filter(state=Letter.State.UNCERTAIN).count():
        yield Found("uncertain", f"{_many(count, 'letter')} in doubt: nobody knows who has them.")


def _sending(now):
    row = sending.current()
    if row.stopped_at and row.stopped_at < now - FORGOTTEN:
        yield Found("stopped", status.of_sending(now).said)
    if not row.stopped_at and row.is_alarming:
        yield Found("breaker", status.of_sending(now).said)


def _floods(now):
    for door in limits.closed_doors(now):
        said = f"Too many letters are asked for, from many networks: nobody gets one ({door})."
        yield Found("flood", said, door)


def _papers(now):
    for said in coverage.alarms(now):
        yield Found("papers", said)


def _sources(now):
    daily = Harvest.objects.filter(since=None)
    for source in settings.SOURCES:
        runs = daily.filter(source=source)
        done = runs.filter(state=Harvest.State.DONE).first()
        failed = runs.filter(state=Harvest.State.FAILED).order_by("pk")
        if done is not None:
            failed = failed.filter(started_at__gt=done.started_at)
        first = failed.first()
        if first is not None and first.started_at < now - BROKEN:
            said = f"{source} has failed since {utc(first.started_at)}: {runs[0].said}"
            yield Found("source", said, source)


def disk_of_data():
    """Return what is known of the disk of DATA_DIR, whose folder may not have been needed yet."""
    folder = settings.DATA_DIR
    return shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists()))


def is_nearly_full(disk) -> bool:
    """Return whether a disk, as shutil.disk_usage tells of it, has too little room."""
    return disk.free < min(disk.total * ROOM, MUCH_ROOM)


def _disk(now):
    disk = disk_of_data()
    if is_nearly_full(disk):
        host = socket.gethostname()
        said = f"{disk.free / 10**6:,.0f} MB are left for {settings.DATA_DIR} on {host}."
        yield Found("disk", said, host, SEEN_FOR_SELDOM)


LOOKS = [_beat, _planning, _letters, _uncertain, _sending, _floods, _papers, _sources, _disk]


def look(now) -> list[Found]:
    """Return what is wrong. A look that breaks costs itself alone, but where the database is away.

    Raises the database's Error.
    """
    found = []
    for one in LOOKS:
        try:
            found += one(now)
        except Error:
            raise
        except Exception:
            logger.exception("an alarm can't be looked for: %s", one.__name__.strip("_"))
    return found


def known(now) -> list[Found]:
    """Return what is wrong, with what others have found and this process doesn't look for."""
    found = look(now)
    rows = Alarm.objects.standing().filter(name__in=ELSEWHERE).order_by("raised_at")
    others = [Found(row.name, row.said, row.subject) for row in rows]
    here = {(one.name, one.subject) for one in found}
    return found + [one for one in others if (one.name, one.subject) not in here]


# ---- What is looked at by beat alone, since it takes longer


def broken_promises(now) -> list[Found]:
    """Return which promises the newest letters of the last days break."""
    since = now - promises.RECENT
    findings = promises.examine(now, since, newest=promises.AT_ONCE)
    return _of_promises(findings, SEEN_FOR_SELDOM)


def digests_not_taken(now) -> list[Found]:
    """Return whether many of the last day's digests were refused, or came back."""
    said = refusals.of_the_day(now)
    return [Found("refused", said, holds_for=SEEN_FOR_SELDOM)] if said else []


def promises_broken_earlier(now) -> list[Found]:
    """Return which promises are broken by the others, where there are more letters than that."""
    since = now - promises.RECENT
    return _of_promises(promises.examine_older(now, since, promises.AT_ONCE), SEEN_FOR_AN_HOUR)


def _of_promises(findings, holds_for):
    return [
        Found(
            "promises",
            f"A promise is broken ({finding.promise.name}): {finding.promise.sentence}: "
            f"{finding.said}.",
            finding.promise.name,
            holds_for,
        )
        for finding in findings
        if finding.count
    ]


# ---- Raised, ended, told


def watch(now) -> None:
    """Look, write down what was found and what has ended, and tell of both.

    Raises the database's Error.
    """
    note(look(now), now)
    end(now)
    tell(now)


def note(found: Iterable[Found], now) -> None:
    """Write down what was found. What is there already holds on, as long as anyone says."""
    for one in found:
        said, until = one.said[:500], now + one.holds_for
        alarm, is_new = Alarm.objects.get_or_create(
            name=one.name,
            subject=one.subject,
            ended_at=None,
            defaults={"said": said, "raised_at": now, "holds_until": until},
        )
        if is_new:
            logger.error("[%s] %s", one.name, said)
        else:
            longest = Greatest("holds_until", Value(until))
            Alarm.objects.standing().filter(pk=alarm.pk).update(said=said, holds_until=longest)


def end(now) -> None:
    """End what nobody has found for as long as it holds."""
    for alarm in Alarm.objects.standing().filter(holds_until__lt=now):
        over = Alarm.objects.standing().filter(pk=alarm.pk, holds_until__lt=now)
        if over.update(ended_at=now):
            logger.warning("[%s] is over: %s", alarm.name, alarm.said)


def tell(now) -> None:
    """Tell the webhook of what has begun and ended, once, though many processes may call this.

    What it doesn't take is told again in a minute: twice is better than never.
    """
    untold = Alarm.objects.filter(Q(told_at=None) | Q(ended_at__isnull=False, end_told_at=None))
    lease = Lease("alarms", TELLING)
    if not untold.exists() or not lease.take():
        return
    try:
        # Asked again now that nobody else tells: another may just have told of all.
        rows = untold.order_by("pk")
        begun = [alarm for alarm in rows if alarm.told_at is None]
        ended = [alarm for alarm in rows if alarm.ended_at is not None]
        lines = [f"[{alarm.name}] {alarm.said}" for alarm in begun]
        lines += [f"[{alarm.name}] is over: {alarm.said}" for alarm in ended]
        if lines and send(lines):
            Alarm.objects.filter(pk__in=[alarm.pk for alarm in begun]).update(told_at=now)
            Alarm.objects.filter(pk__in=[alarm.pk for alarm in ended]).update(end_told_at=now)
    finally:
        lease.give_back()


def send(lines: list[str]) -> bool:
    """Post the lines to the webhook, as {"text": …}. Return whether it took them, or there is none.

    It may be any machine that the operator names, also one of the house. Its answer isn't read.
    """
    if not settings.ALARM_WEBHOOK:
        return True
    import httpx2  # Which nothing else of a web process needs.

    text = "\n".join([f"{settings.SITE_NAME} ({settings.SITE_URL}):", *lines])
    try:
        with httpx2.stream("POST", settings.ALARM_WEBHOOK, json={"text": text}, timeout=10) as said:
            said.raise_for_status()
    except httpx2.HTTPError as error:
        logger.error("The alarm's webhook does not take it: %s", type(error).__name__)
        return False
    return True


# ---- Beside the web server


def watch_beside() -> None:
    """Watch from a thread of this process for as long as it lives."""
    threading.Thread(target=_watch_on, name="alarms", daemon=True).start()


def _watch_on():
    watcher = Watcher()
    sleep(random.uniform(0, EACH_MINUTE))  # noqa: S311, so that not all processes look at once.
    while True:
        sleep(EACH_MINUTE)
        watcher.look()


def is_of_the_database(error: BaseException | None) -> bool:
    """Return whether it says that the database is away, takes no writes, or is damaged: that is
    what SQLite says with a DatabaseError of no kind. Others are mistakes of ours.
    """
    is_away = isinstance(error, InterfaceError | InternalError | OperationalError)
    return is_away or type(error) is DatabaseError


class Watcher:
    """Looks again and again, and notices when there is no database in which to write it down.

    That is told by each process, since they can't agree on one.
    """

    def __init__(self):
        self.silences = 0

    def look(self) -> None:
        """Look once. Nothing is raised."""
        try:
            watch(clock.of_database())
        except Exception as error:
            if is_of_the_database(error):
                self.silences += 1
                if self.silences == SILENCES:
                    self._tell(f"The database does not answer ({type(error).__name__}).")
            else:
                logger.exception("the alarms can't be watched")
        else:
            if self.silences >= SILENCES:
                self._tell("is over: the database answers again.")
            self.silences = 0
        finally:
            connection.close()

    def _tell(self, said):
        logger.error("[database] %s", said)
        send([f"[database] {said}"])


# ---- Words


def _many(count, thing):
    return f"1 {thing} is" if count == 1 else f"{count:,} {thing}s are"
