"""A representative email of each kind, for the tests that look at emails."""

from django.utils import translation

from digest.letters import compose
from digest.models import Digest, Pick
from subscriptions.delivery import queue
from subscriptions.mail import render
from subscriptions.models import Letter, Message, Move
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY

NEW_ADDRESS = "moved@example.org"
#: name -> kind of email, and what the subscriber's row and the letter have besides.
NOTICES = {
    "confirm": ("confirm", {"confirmed": False}, {}),
    "already": ("confirm", {}, {}),
    "goodbye": ("goodbye", {"unsubscribed_at": NOW}, {}),
    "bounced": ("bounced", {"suppressed_at": NOW, "suppressed_by": "bounced"}, {}),
    "link": ("link", {}, {}),
    "move-old": ("move", {}, {}),
    "move-new": ("move", {}, {"to": NEW_ADDRESS}),
    "message": ("message", {}, {"operator_message": Message(subject="Test A–Z", text="1 + 1 = 2")}),
}
#: name -> kind of email, and how many papers.
DIGESTS = {"welcome": ("welcome", 0), "digest": ("digest", 4), "quiet": ("digest", 0)}
NAMES = [*NOTICES, *DIGESTS, "test"]


def written(name, language="en") -> render.Content:
    """Return what the email of this name says to a new subscriber."""
    if name == "test":
        with translation.override(language):
            return render.render("test", {})
    settings_of_subscriber = {"language": language, "timezone": "Europe/Berlin"}
    if name in DIGESTS:
        return digest_of(make.subscriber(**settings_of_subscriber), name)
    kind, state, fields = NOTICES[name]
    subscriber = make.subscriber(**settings_of_subscriber, **state)
    if name == "move-old":
        subscriber.move = Move(new_email=NEW_ADDRESS, asked_at=NOW)
    letter = Letter(subscriber=subscriber, kind=kind, created_at=NOW, **fields)
    return make.composed(letter, NOW)


def digest_of(subscriber, name):
    kind, papers = DIGESTS[name]
    (material,) = compose.load([stored_digest(subscriber, papers)], kind)
    return compose.render(material)


def stored_digest(subscriber, papers):
    """Store a digest with papers of all groups, in no language that is English."""
    letter = queue.create(subscriber, "digest", now=NOW, closes_at=NOW + DAY)
    receipt = {"day": "2026-06-01", "announced": 1043, "had": 1040, "is_verified": True}
    of_day = {"day": TODAY, "letter": letter, "considered": 1043, "receipt": receipt}
    digest = Digest.objects.create(subscriber=subscriber, **of_day)
    bases = ["topic", "second", "trend", "new"][:papers]
    for position, basis in enumerate(bases, start=1):
        fields = {"authors": ["Ada Beispiel"] * (2 * position), "categories": ["cs.LG"]}
        fields |= {"upvotes": position * 700, "is_sample": position == 1}
        paper = make.paper(f"Graphen {position}", "Wir vergessen Graphen. " * 60, **fields)
        common = {"digest": digest, "subscriber": subscriber, "basis": basis}
        name = "Graphen" if basis == "topic" else ""
        shown = {"paper": paper, "position": position, "score": 0.5, "topic_name": name}
        pick = Pick.objects.create(**common, **shown)
        folded = {"paper": make.paper(f"Auch Graphen {position}"), "leader": pick, "score": 0.4}
        Pick.objects.create(**common, **folded)
    return digest
