"""Digests that are due, the server to which they go, and what has become of them."""

from subscriptions.delivery import worker
from subscriptions.delivery.clock import running_from
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import HOUR, NOW, TODAY
from tests.servers.smtp import Conversation

MANY = 4
ODD = "odd@elsewhere.example"
LATER = b"450 4.2.0 not now\r\n"


class Scripted(Conversation):
    """Asks the server's script first: `says(stage, whom, conversation)` returns the answer, if any.

    `whom` is the recipient, as soon as it is known.
    """

    letters = 0

    def answer(self, stage, usual, recipient=""):
        whom = recipient or self.recipient or self.sender
        said = self.server.says(stage, whom, self)
        if said is None:
            return super().answer(stage, usual, recipient)
        self.say(said)
        return False

    def on_mail(self, line):
        self.letters += 1
        super().on_mail(line)


def digest_to(email):
    """Plan a digest for somebody, due now, without papers."""
    moments = {"created_at": NOW, "next_try_at": NOW, "closes_at": NOW + 18 * HOUR}
    return make.subscriber(email).letters.create(kind="digest", day=TODAY, **moments)


def digests(odd=None, count=MANY, domain="example.org"):
    """Plan so many usual digests and, amid them, an odd one, which is returned."""
    for number in range(count // 2):
        digest_to(f"early-{number}@{domain}")
    letter = digest_to(odd) if odd else None
    for number in range(count - count // 2):
        digest_to(f"late-{number}@{domain}")
    return letter


def deliver(now=NOW, **limits):
    return worker.deliver_due(running_from(now), **limits)


def states():
    """Return how many digests are in each state."""
    found = [letter.state for letter in Letter.objects.filter(kind="digest")]
    return {state: found.count(state) for state in found}


def recipients(server):
    return sorted(recipient for recipient, _ in server.accepted)
