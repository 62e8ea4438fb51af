"""Workers killed between a POST to a channel and the commit, and what became of each message.

    uv run python -m tests.faults.channels --kills 200

One worker after the other delivers one message. The server kills the worker with the message read:
before it answers, or right after. Of the messages that are sent again, every other one has its
worker killed once more. An hour passes between two attempts, by `now`. Then a crowd: workers with
many messages are killed at the first. With DATABASE_URL, the database must be empty.
"""

import argparse
import os
import signal
import tempfile
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

HOUR = timedelta(hours=1)
CROWD, CROWD_KILLS = 60, 10
SECRET = "a-secret-of-these-tests-and-of-nothing-else-and-long-enough"


class Killer:
    """A channel server in a process of its own. It notes what it gets, and kills the worker."""

    def __init__(self, folder: Path):
        self.received, self.victim = folder / "received", folder / "victim"
        self.received.touch()
        self.victim.touch()
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._serve(write_end)
        self.base = os.read(read_end, 100).decode()

    def _serve(self, write_end):
        from tests.servers.channels import ChannelServer

        server = ChannelServer()
        server.answers = self
        os.write(write_end, server.base.encode())
        signal.pause()

    def popleft(self):
        return self._answer

    def _answer(self, talk):
        talk.read()
        with self.received.open("a") as file:
            file.write(f"{talk.path[1:]}\n")
        pid, _, when = self.victim.read_text().partition(" ")
        if when != "before":
            talk.send(200, {}, b"ok")
        if pid:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def counts(self) -> Counter[int]:
        """Return how often the message of each letter came."""
        return Counter(map(int, self.received.read_text().split()))

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def work(killer, now, ids=None, kill="") -> bool:
    """Run a worker in a process of its own. Return whether it was killed."""
    from django.db import connection

    from subscriptions.delivery import clock, worker

    connection.close()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(read_end, 1)
        try:
            worker.deliver_due(clock.running_from(now), ids=ids)
        finally:
            os._exit(0)
    killer.victim.write_text(f"{pid} {kill}" if kill else "")
    os.write(write_end, b"x")
    os.close(read_end)
    os.close(write_end)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def plan(killer, count, now):
    """Make so many channels, each with a digest that is due. Return the ids of their letters."""
    from digest.models import Digest, Pick
    from subscriptions.security.encryption import encrypt
    from tests.factories import make

    paper, ids = make.paper("Graphs", now=now), []
    for _ in range(count):
        channel = make.subscriber(channel="json", title="Room", now=now)
        moments = {"created_at": now, "next_try_at": now, "closes_at": now + 20 * HOUR}
        letter = channel.letters.create(kind="digest", day=now.date(), **moments)
        digest = Digest.objects.create(subscriber=channel, day=letter.day, letter=letter)
        about = {"subscriber": channel, "paper": paper, "score": 1, "basis": "new"}
        Pick.objects.create(digest=digest, position=1, **about)
        type(channel).objects.filter(pk=channel.pk).update(
            secret=encrypt(f"{killer.base}/{letter.pk}")
        )
        ids.append(letter.pk)
    return ids


def run(kills: int, folder: Path) -> dict:
    """Kill so many workers. Return the figures."""
    from subscriptions.delivery import sweep
    from subscriptions.models import Letter
    from tests.factories.make import NOW

    killer = Killer(folder)
    try:
        alone = plan(killer, kills * 2 // 3, NOW)
        crowd = plan(killer, CROWD, NOW)
        killed = 0
        for hours in (0, 2):
            now = NOW + hours * HOUR
            for place, letter_id in enumerate(alone):
                kill = ("before", "after")[place // 2 % 2]
                if hours and (place % 2 or killed >= kills):
                    kill = ""
                killed += work(killer, now, [letter_id], kill)
            for later in (1, 2):  # The lease ends, and then the hold.
                sweep.sweep(now + later * HOUR)
        killed_in_crowd = sum(work(killer, NOW, crowd, kill="before") for _ in range(CROWD_KILLS))
        for hours in range(5, 12):
            sweep.sweep(NOW + hours * HOUR)
            work(killer, NOW + hours * HOUR)
        return figures(killer.counts(), alone, crowd) | {
            "kills": killed + killed_in_crowd,
            "open": Letter.objects.open().count(),
        }
    finally:
        killer.close()


def figures(seen, alone, crowd) -> dict:
    """Count what the server saw and what the database says. `wrong` are letters that differ."""
    from subscriptions.models import Letter

    letters = {letter.pk: letter for letter in Letter.objects.all()}
    sent_again = [pk for pk in letters if letters[pk].repeats]
    unknown = [pk for pk in letters if letters[pk].reason.startswith(Letter.UNKNOWN)]
    wrong = [pk for pk in alone if seen[pk] != 1 + letters[pk].repeats]
    wrong += [pk for pk in crowd if not seen[pk] <= 1 + letters[pk].repeats <= 2]
    wrong += [pk for pk in letters if letters[pk].state == "accepted" and not seen[pk]]
    return {
        "messages": len(letters),
        "states": dict(Counter(letter.state for letter in letters.values())),
        "seen twice alone, by the server": sum(seen[pk] == 2 for pk in alone),
        "sent again alone, by the database": len({*sent_again} & {*alone}),
        "unknown alone, by the database": len({*unknown} & {*alone}),
        "crowd seen twice, sent again, unknown": (
            sum(seen[pk] == 2 for pk in crowd),
            len({*sent_again} & {*crowd}),
            len({*unknown} & {*crowd}),
        ),
        "seen more than twice": sum(count > 2 for count in seen.values()),
        "wrong": wrong,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paperboy-channels-") as folder:
        os.environ.setdefault("DATA_DIR", folder)
        os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "EMAIL_URL": "file:"}
        os.environ |= {"ALLOWED_PRIVATE_HOSTS": "127.0.0.1", "ALLOWED_HOSTS": "localhost"}
        os.environ.setdefault("SECRET_KEY", SECRET)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        found = run(options.kills, Path(folder))
    for name, figure in found.items():
        print(f"{name}: {figure}")  # noqa: T201
    raise SystemExit(bool(found["wrong"] or found["open"] or found["seen more than twice"]))


if __name__ == "__main__":
    main()
