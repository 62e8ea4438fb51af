"""A message to subscribers while workers are killed: who got it.

    uv run python -m tests.faults.messages

A quarter of the conversations fail, one of four workers is killed each second, and some
subscribers unsubscribe or opt out through the web. Half-way, the message is stopped.
"""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.installation import PEOPLE, Installation
from tests.faults.storm import FAULTY, ORDERS, WORKERS, leave
from tests.helpers.statements import statements

ADDRESS = "reader@host-%s.example.org"
SQL = statements(Path(__file__).with_suffix(".sql"))
MESSAGE, STOP, NOW, HANDED_OVER = SQL.values()


def run(installation: Installation, people: int, seed: int) -> dict:
    """Send a message to so many people, and stop it. Return the figures; `wrong` must be empty."""
    chance, mail = random.Random(seed), installation.mail
    installation.environment["EMAIL_URL"] = mail.address(connections=people // 125 or 2)
    with installation.connect() as connection:
        connection.execute(PEOPLE, {"address": ADDRESS, "first": 1, "last": people})
    rows = installation.ask("SELECT email, public_id FROM subscriptions_subscriber")
    leaving = [
        (email, installation.unsubscribe_url(public_id) + chance.choice(["", "messages/"]))
        for email, public_id in chance.sample(rows, people // 25)
    ]
    installation.start_web()
    installation.start_all("beat", *(f"worker-{number}" for number in range(WORKERS)))

    def sent():
        return installation.states("message").get("accepted", 0)

    mail.plan = lambda _: chance.choice(ORDERS) if chance.random() < FAULTY else ""
    installation.ask(MESSAGE, people)
    installation.wait_for("the first emails", 60, lambda: sent() > 0)
    figures = {"kills": 0}
    stopped_at, sent_before_kill, began = None, 0, time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(leave, began, chance.random() * 10, *one) for one in leaving]
        while stopped_at is None or not all(answer.done() for answer in answers):
            if stopped_at or sent() > sent_before_kill:  # A busy machine starts workers slowly.
                sent_before_kill, name = sent(), f"worker-{chance.randrange(WORKERS)}"
                installation.kill(name)
                installation.start(name)
                figures["kills"] += 1
            installation.revive("beat")
            time.sleep(1)
            if stopped_at is None and sent() >= people / 2:
                installation.ask(STOP)
                ((stopped_at,),) = installation.ask(NOW)
    mail.plan = lambda _: ""
    installation.rest(120)
    handed_over, letters = dict(installation.ask(HANDED_OVER)), installation.letters("message")
    ids = {letter["message_id"] for letter in letters if letter["message_id"]}
    repeats = {letter["email"]: letter["repeats"] for letter in letters}
    arrived = Counter(one.recipient for one in mail.arrived if one.message_id in ids)
    # Nobody can know whether the last email of a killed worker arrived.
    unknown = {letter["email"] for letter in letters if letter["reason"].startswith("unknown")}
    figures["wrong"] = [
        *(email for email, count in arrived.items() if count > 1 + repeats[email]),
        *((handed_over.keys() ^ arrived.keys()) - unknown),
        *(
            email
            for email, at, _ in (answer.result() for answer in answers)
            if handed_over.get(email, 0) > at
        ),
        *(at for at in handed_over.values() if at > stopped_at.timestamp()),
    ]
    return figures | {"sent": len(handed_over)}


if __name__ == "__main__":
    test = "tests/faults/test_operator_messages.py"
    raise SystemExit(pytest.main([test, "-m", "nightly", "-rP", "--numprocesses=0"]))
