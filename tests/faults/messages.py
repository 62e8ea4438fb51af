"""A message to subscribers while workers are killed: who got it, and what it cost the digests.

    uv run python -m tests.faults.messages --people 5000

The mail server takes a second for one of five emails. Some digests become due before the message,
others while it is being sent. Then a quarter of the conversations fail, one of four workers is
killed each second, and some subscribers unsubscribe or opt out through the web. Half-way, the
message is stopped.
"""

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.cluster import Postgres
from tests.faults.installation import PEOPLE, Installation, make_template
from tests.faults.mailserver import MailServer
from tests.faults.storm import FAULTY, ORDERS, WORKERS, leave

MESSAGE = """
    INSERT INTO subscriptions_message (subject, text, written_by, receivers, starts_at,
        last_subscriber) VALUES ('Maintenance', 'On Sunday.', 'ada', %s, now(), 0) RETURNING id"""
RELEASE = """
    UPDATE subscriptions_letter SET created_at = {when}, next_try_at = {when}
    WHERE kind = 'digest' AND state = 'planned' AND id %% 2 <= %s RETURNING id"""
STOP = "UPDATE subscriptions_message SET stopped_at = clock_timestamp() RETURNING stopped_at"
DELAY = """
    SELECT extract(epoch FROM max(ended_at - created_at)) FROM subscriptions_letter
    WHERE kind = 'digest' AND id %% 2 = %s"""
LEFT = """
    SELECT s.email, extract(epoch FROM l.left_at) FROM subscriptions_letter l
    JOIN subscriptions_subscriber s ON s.id = l.subscriber_id
    WHERE l.kind = 'message' AND l.state = 'accepted'"""


def run(folder: Path, postgres: Postgres, template: str, people: int, seed: int) -> dict:
    """Send a message to so many people, and stop it. Return the figures; `wrong` must be empty."""
    mail = MailServer()
    installation = Installation(folder, postgres, template, mail)
    mail.log = folder / "mail.log"
    installation.environment["ORACLE"] = f"postfix:{mail.log}"
    installation.environment["EMAIL_URL"] = mail.address(connections=people // 125 or 2)
    try:
        return _run(installation, people, random.Random(seed))
    finally:
        installation.close()
        mail.close()


def _run(installation, people, chance):
    digests = people // 10
    slow = "slow-dot", "", "", "", ""
    installation.mail.plan = lambda recipient: chance.choice(slow)
    installation.invite(digests)
    installation.ask(RELEASE.format(when="now() + interval '1 hour'"), 1)
    with installation.connect() as connection:
        address = "reader@host-%s.example.org"
        connection.execute(PEOPLE, {"address": address, "first": digests + 1, "last": people})
    rows = installation.ask("SELECT email, public_id FROM subscriptions_subscriber")
    leaving = chance.sample(rows, people // 25)
    urls = [installation.unsubscribe_url(public_id) for _, public_id in leaving]
    urls[::2] = [f"{url}messages/" for url in urls[::2]]  # Every other one opts out.
    installation.start_web()
    installation.start_all("beat", *(f"worker-{number}" for number in range(WORKERS)))

    def sent(kind="message"):
        return installation.states(kind).get("accepted", 0)

    installation.ask(RELEASE.format(when="now()"), 0)
    installation.wait_for("the first digests", 120, lambda: sent("digest") == digests // 2)
    installation.ask(MESSAGE, people)
    installation.wait_for("the first emails", 60, lambda: sent() > people / 50)
    installation.ask(RELEASE.format(when="now()"), 1)
    installation.wait_for("the other digests", 120, lambda: sent("digest") == digests)
    sent_before = sent()
    installation.mail.plan = lambda recipient: chance.choice(
        ORDERS if chance.random() < FAULTY else slow
    )
    kills, began = 0, time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = [
            pool.submit(leave, began, chance.random() * 10, email, url)
            for (email, _), url in zip(leaving, urls, strict=True)
        ]
        stopped_at, sent_before_kill = None, 0
        while stopped_at is None or any(not answer.done() for answer in answers):
            if sent() > sent_before_kill or stopped_at:  # A busy machine starts workers slowly.
                sent_before_kill, name = sent(), f"worker-{chance.randrange(WORKERS)}"
                installation.kill(name)
                installation.start(name)
                kills += 1
            installation.revive("beat")
            time.sleep(1)
            if stopped_at is None and sent() >= people / 2:
                ((stopped_at,),) = installation.ask(STOP)
        left = {email: at for email, at, _ in (answer.result() for answer in answers)}
    installation.mail.plan = lambda recipient: ""
    installation.rest(120)
    handed_over = {email: float(at) for email, at in installation.ask(LEFT)}
    letters = installation.letters("message")
    ids = {letter["message_id"] for letter in letters if letter["message_id"]}
    arrived = Counter(one.recipient for one in installation.mail.arrived if one.message_id in ids)
    wrong = {
        "got it twice": [email for email, count in arrived.items() if count > 1],
        "two emails": len(letters) - len({letter["email"] for letter in letters}),
        "sent and not arrived": handed_over.keys() - arrived.keys(),
        "arrived and not counted": arrived.keys() - handed_over.keys(),
        "after leaving": [who for who, at in left.items() if handed_over.get(who, 0) > at],
        "after the stop": sum(at > stopped_at.timestamp() for at in handed_over.values()),
    }
    return {
        "receivers": people,
        "sent before the digests were": sent_before,
        "sent": len(handed_over),
        "states": installation.states("message"),
        "kills": kills,
        "left or opted out": len(left),
        "longest delay of a digest before, s": float(installation.ask(DELAY, 0)[0][0]),
        "longest delay of a digest, s": float(installation.ask(DELAY, 1)[0][0]),
        "wrong": {name: found for name, found in wrong.items() if found},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    postgres = Postgres()
    scratch = Path(tempfile.mkdtemp(prefix="paperboy-messages-"))
    try:
        template = make_template(postgres, scratch)
        found = run(scratch, postgres, template, options.people, options.seed)
    finally:
        postgres.close()
    for name, figure in found.items():
        print(f"{name}: {figure}")  # noqa: T201
    if found["wrong"] or found["longest delay of a digest, s"] > 60:
        raise SystemExit(1)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main()
