"""A new version meets the database: its tables are changed while letters go on leaving.

A change of a table waits for the transactions that use it, and whoever comes after it waits for the
change. So it waits for seconds only, lets all the others pass, and is tried again.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.db.models import Exists, OuterRef, Q

from digest import health, starter
from digest.counts import counted
from subscriptions.models import Subscriber, Topic, TopicPreference

LOCK_SECONDS = 3  # So long a change waits for a table, and those behind it wait for the change.
PAUSE = 2  # Seconds until it is tried again.
TRIES = 60
NUMBER = 8_053_187  # Of the lock that one upgrade at a time holds. Any number that nobody else has.
#: What PostgreSQL says where a lock wasn't free: it timed out, or there was a deadlock.
NOT_FREE = ("55P03", "40P01")
READERS = 500  # So many followers of a merged topic are locked and moved at a time.

Stance = TopicPreference.Stance


def migrate(tell: Callable[[str], None]) -> None:
    """Bring the tables to what this version needs. Several at once do it one after the other.

    Raises the database's OperationalError where a table was never free, and CommandError where
    there is something to do behind a pooler that hands sessions on: it would keep the lock, and
    give our settings to others.
    """
    if connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        if reasons := health.reasons_not_ready(in_full=True):
            raise CommandError(
                f"{' '.join(reasons)} DATABASE_URL leads to a pooler: name PostgreSQL itself in it "
                f"for this, without pool_mode."
            )
        return
    with _alone(tell):
        for number in range(1, TRIES + 1):
            try:
                call_command("migrate", interactive=False, verbosity=1)
                return
            except OperationalError as error:
                code = getattr(error.__cause__, "sqlstate", "")
                if number == TRIES or code not in NOT_FREE:
                    raise
                tell("A table is in use. Trying again.")
                sleep(PAUSE)


def prepare_topics(tell: Callable[[str], None]) -> None:
    """Make the starter topics where there are none, and end what a merge of topics left undone."""
    if made := starter.make_topics():
        tell(f"Made {counted(made, 'starter topic')}.")
    if moved := _move_followers():
        tell(f"Moved {counted(moved, 'follower')} of merged topics.")


def _move_followers() -> int:
    """Move the followers of merged topics to the topics that stay. Return how many were moved.

    Releases that merged topics did this in the background, and may have left some. A subscriber
    with a stance on both topics keeps the stronger one: mute wins over follow, and of two follows
    the greater weight.
    """
    moved = 0
    for topic in Topic.objects.merged():
        stays = TopicPreference.objects.filter(topic=topic.merged_into_id)
        while some := list(topic.preferences.values_list("subscriber", flat=True)[:READERS]):
            with transaction.atomic():
                locked = Subscriber.objects.filter(pk__in=some).order_by("pk").select_for_update()
                list(locked.values_list("pk", flat=True))
                old = topic.preferences.filter(subscriber__in=some)
                same = {"subscriber": OuterRef("subscriber")}
                stronger = Q(stance=Stance.MUTE) & ~Q(stance=OuterRef("stance"))
                stronger |= Q(stance=OuterRef("stance"), weight__gt=OuterRef("weight"))
                stays.filter(Exists(old.filter(stronger, **same))).delete()
                old.filter(Exists(stays.filter(**same))).delete()
                old.update(topic=topic.merged_into_id)
            moved += len(some)
    return moved


@contextmanager
def alone_with_file() -> Iterator[None]:
    """Hold the one right to make what is in SQLite's file, whose own lock ends with each migration:
    another process would find the tables of the next one there. Of a server's database, or where
    the file system has no locks, it holds nothing.

    A new file is its owner's alone, and so is what SQLite puts beside it: readers' addresses and
    operators' sessions are in there, and a DATA_DIR that was there before may be open to others.
    """
    if connection.vendor != "sqlite":
        yield
        return
    file = Path(connection.settings_dict["NAME"])
    try:
        descriptor = os.open(file.parent, os.O_RDONLY)
    except OSError:
        yield  # What opens the database says why.
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(OSError):
            os.close(os.open(file, os.O_CREAT, 0o600))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _alone(tell) -> Iterator[None]:
    """Hold the one right to change tables, with time enough for it."""
    if connection.vendor != "postgresql":
        with alone_with_file():
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        while not _take(cursor):
            tell("Another upgrade is at it. Waiting.")
            sleep(PAUSE)
        try:
            yield
        finally:
            connection.close()  # With its lock and its settings, whatever state it is in.


def _take(cursor):
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [NUMBER])
    return cursor.fetchone()[0]
