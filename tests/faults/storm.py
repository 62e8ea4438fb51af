"""The storm: everything at once, from one seed, and what became of each letter.

    uv run python -m tests.faults.storm --seeds 50 [--people 2000] [--first 1]

Four workers, one of them killed each second; faults on a quarter of the conversations; Redis
flushed and PostgreSQL restarted in the middle; one in ten leaves through the web meanwhile. Prints
a line for each seed.
"""

import argparse
import random
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.faults.cluster import Postgres
from tests.faults.installation import Installation, make_template
from tests.faults.invariants import QUERIES, Outcome, weigh
from tests.faults.mailserver import MailServer

WORKERS = 4
UNANSWERED = "SELECT count(*) FROM subscriptions_letterevent WHERE note = 'no answer'"
FAULTY = 0.25  # Of the conversations.
LEAVING = 20  # Seconds in which those leave who do, or less where few do.
#: After these nobody knows whether the server has the letter.
IN_DOUBT = ["drop-dot", "lose-dot", "garble-dot"]
ORDERS = ["450-rcpt", "450-dot", "421-data", "drop-data", "slow-dot", "drop-after", *IN_DOUBT]


@dataclass
class Weather:
    """What happened in one storm besides what became of the letters."""

    seed: int
    seconds: float = 0
    kills: int = 0
    left: int = 0
    announced: int = 0  # Of those who left, whose page said that a letter may be on its way.
    late_dots: int = 0  # Dots for the others, after they had left.
    papers_twice: int = 0  # In two letters to one subscriber, copies aside.
    unanswered: int = 0  # Letters that became uncertain since their worker was killed.
    broken: dict = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def is_well(self) -> bool:
        outcome = self.outcome
        wrong = outcome.lost + outcome.uncounted + outcome.mislabelled
        return not (self.broken or self.late_dots or self.papers_twice or wrong)


def storm(folder: Path, postgres: Postgres, template: str, seed: int, people: int) -> Weather:
    """Let one storm pass over an installation, and wait until no letter is open."""
    chance, weather = random.Random(seed), Weather(seed)
    mail = MailServer()
    installation = Installation(folder, postgres, template, mail)
    try:
        _pass_over(installation, chance, weather, people)
    finally:
        installation.close()
        mail.close()
    return weather


def _pass_over(installation, chance, weather, people):
    plans = random.Random(chance.random())
    lock = threading.Lock()

    def plan(recipient):
        with lock:
            return plans.choice(ORDERS) if plans.random() < FAULTY else ""

    installation.invite(people)
    installation.start_all("web", "beat", *(f"worker-{number}" for number in range(WORKERS)))
    installation.wait_for("first letters", 60, lambda: installation.mail.dots > 0)
    installation.mail.plan = plan
    began = time.monotonic()
    leavers = _choose_leavers(installation, chance, people // 10)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(leave, began, *leaver) for leaver in sorted(leavers)]
        _blow(installation, chance, weather)
        # The sun comes out: what is open comes to rest.
        installation.mail.plan = lambda recipient: ""
        left = [answer.result() for answer in answers]
        installation.rest(120)
    weather.seconds = time.monotonic() - began
    weather.left = len(left)
    weather.announced = sum(may_arrive for _, _, may_arrive in left)
    weather.late_dots = _late_dots(installation, left)
    weather.papers_twice = len(installation.mail.papers_twice())
    ((weather.unanswered,),) = installation.ask(UNANSWERED)
    weather.outcome = weigh(installation)
    broken = {what: installation.ask(query)[0][0] for what, query in QUERIES.items()}
    weather.broken = {what: count for what, count in broken.items() if count}


def _blow(installation, chance, weather):
    """Kill a worker each second until two thirds are delivered; hit Redis and PostgreSQL once."""
    ((people,),) = installation.ask("SELECT count(*) FROM subscriptions_subscriber")
    hits = {0.25: installation.redis.flush, 0.5: lambda: installation.postgres.restart("immediate")}
    deadline = time.monotonic() + 90
    while (done := len(installation.mail.copies()) / people) < 0.9 and time.monotonic() < deadline:
        for share in [share for share in hits if share <= done]:
            hits.pop(share)()
        name = f"worker-{chance.randrange(WORKERS)}"
        installation.kill(name)
        weather.kills += 1
        installation.start(name)
        if "web" in installation.running:
            installation.revive("web")
        installation.revive("beat")
        time.sleep(1)
    for hit in hits.values():
        hit()


def _choose_leavers(installation, chance, count):
    """Return who leaves: after how many seconds, their address, and the page by which they do.

    The pages are looked up here, since no two threads may sign as an installation at once.
    """
    subscribers = installation.ask(
        "SELECT email, public_id FROM subscriptions_subscriber ORDER BY id"
    )
    return [
        (chance.random() * min(LEAVING, count), email, installation.unsubscribe_url(public_id))
        for email, public_id in chance.sample(subscribers, count)
    ]


def leave(began, after, email, url):
    """Unsubscribe through the web. Return who, when it was answered, and whether one may come."""
    time.sleep(max(0, began + after - time.monotonic()))
    request = Request(url, data=b"", method="POST")
    while True:
        with suppress(URLError, OSError), urlopen(request, timeout=20) as answer:
            return email, time.time(), b"may still arrive" in answer.read()
        time.sleep(0.2)


def _late_dots(installation, left):
    """Count digests whose dot came after their subscriber's page had said that none would."""
    free_of = {email: at for email, at, may_arrive in left if not may_arrive}
    digests = {letter["message_id"] for letter in installation.letters() if letter["message_id"]}
    return sum(
        arrival.dot_at > free_of.get(arrival.recipient, float("inf"))
        for arrival in installation.mail.arrived
        if arrival.message_id in digests
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--people", type=int, default=2000)
    options = parser.parse_args()
    postgres = Postgres()
    scratch = Path(tempfile.mkdtemp(prefix="paperboy-storm-"))
    try:
        template = make_template(postgres, scratch)
        for seed in range(options.first, options.first + options.seeds):
            folder = scratch / str(seed)
            folder.mkdir()
            place = folder, postgres, template
            weather = storm(*place, seed, options.people)
            print(line_of(weather), flush=True)  # noqa: T201
            if weather.is_well:
                shutil.rmtree(folder)
    finally:
        postgres.close()


def line_of(weather: Weather) -> str:
    """Return what became of the letters, as one line."""
    one = weather.outcome
    return (
        f"seed {weather.seed}: {weather.seconds:.0f} s, {weather.kills} kills; accepted "
        f"{one.accepted}, ended otherwise {one.ended_otherwise}, unknown {one.unknown}; doubled "
        f"{one.doubled}, uncounted {one.uncounted}, lost {one.lost}, missing {one.missing}, "
        f"mislabelled {one.mislabelled}; papers twice "
        f"{weather.papers_twice}; uncertain after kills {weather.unanswered}; left {weather.left} "
        f"({weather.announced} with a letter announced), late dots {weather.late_dots}"
        f"{'; BROKEN ' + str(weather.broken) if weather.broken else ''}"
    )


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main()
