"""What letters are made of: drawn at random, with all that others stumbled over, or of titles."""

import uuid
from datetime import UTC, date, datetime

from hypothesis import strategies as st

from digest.letters.letter_data import LetterData
from digest.models import Digest, Paper, Pick
from subscriptions.mail import plaintext, render
from subscriptions.models import Subscriber
from tests.factories.make import NOW
from tests.helpers import data_files

#: What letters of other makers stumbled over.
TRAPS = [*data_files.load("letter_traps.json"), "\ud800\udfff\ufffe"]
TEXTS = st.lists(
    st.one_of(st.sampled_from(TRAPS), st.text(max_size=40), st.characters()), max_size=6
).map(" ".join)
FULL = TEXTS.map(lambda text: f"{text} x")
NAMES = FULL.map(plaintext.one_line)
#: None, plain ones, and ones that an attribute can't have as they are.
URLS = ["", "https://example.org/a?b=%20&c=1&lt;d&amp;=%(why)s", "https://a\u2028b\u0085c.example/"]
URLS += ["https://example.org/(a)/[b]/~c;d,e+f*g$h!i@j#k", "https://example.org/a?b=%20&c='\"<>"]
ADDRESSES = st.sampled_from([*URLS, "https://müller.example/a b\u00a0c/{d}|e^`f`\\g"])


@st.composite
def picks(draw, digest, position):
    prefix = draw(st.sampled_from(["2606.", "math/0", "biorxiv:"]))
    project = st.fixed_dictionaries({"project_page": ADDRESSES, "organization": NAMES})
    said = {"title": FULL, "abstract": TEXTS, "authors": st.lists(FULL, max_size=5)}
    said["categories"] = st.lists(st.sampled_from(["cs.LG", "hep-th", "68T05"]), max_size=3)
    said |= {"upvotes": st.sampled_from([None, 0, 1, 1234]), "url": ADDRESSES, "github": ADDRESSES}
    said["day"] = st.sampled_from([date(2026, 6, 1), date(2026, 5, 29)])
    said["comments"] = st.sampled_from(["", "Accepted at NeurIPS 2025"])
    said["hugging_face"] = st.none() | project
    paper = Paper(id=f"{prefix}{position:05}", **draw(st.fixed_dictionaries(said)))
    paper.stars = draw(st.sampled_from([None, 1, 5000]))
    why = {"basis": st.sampled_from(Pick.Basis.values), "topic_name": FULL}
    why["like_title"] = FULL
    why["group"] = st.sampled_from([None, *Pick.Group.values])
    why["terms"] = st.lists(FULL, max_size=3)
    common = {"digest": digest, "subscriber": digest.subscriber, "position": position}
    pick = Pick(paper=paper, **common, **draw(st.fixed_dictionaries(why)))
    pick.unsaved_folded = [
        Paper(id=f"{draw(st.sampled_from(['x', 'x:']))}{n}", title=draw(FULL), url=draw(ADDRESSES))
        for n in range(draw(st.integers(0, 5)))
    ]
    return pick


@st.composite
def materials(draw):
    """Draw what a letter is made of; nothing of it is stored."""
    zones = st.sampled_from(["UTC", "America/New_York", "Mars/Base"])
    who = {"moved_at": st.sampled_from([None, NOW]), "timezone": zones, "public_id": st.uuids()}
    who["language"] = st.sampled_from(["en", "de", "xx"])
    drawn = draw(st.fixed_dictionaries(who))
    subscriber = Subscriber(pk=1, email="reader@example.org", confirmed_at=NOW, **drawn)
    what = {"considered": st.sampled_from([0, 1, 1043]), "public_id": st.uuids()}
    what["receipt"] = st.sampled_from([{}, receipt(True), receipt(False)])
    drawn = draw(st.fixed_dictionaries(what))
    digest = Digest(pk=1, subscriber=subscriber, day=date(2026, 6, 1), **drawn)
    count = draw(st.sampled_from([0, 1, 2, 11]))
    return LetterData(
        digest=digest,
        picks=[draw(picks(digest, position)) for position in range(1, count + 1)],
        topics=draw(st.lists(FULL, max_size=3)),
        is_first=draw(st.booleans()),
        news=draw(st.lists(st.fixed_dictionaries(NEWS), max_size=2)),
    )


def receipt(verified):
    return {"day": "2026-06-01", "announced": 1043, "had": 1040, "is_verified": verified}


NEWS = {"title": NAMES, "link": st.just("http://x/"), "said": st.just("y.")}


def material_of(titles, pk=1):
    subscriber = Subscriber(
        pk=pk, email="reader@example.org", public_id=uuid.UUID(int=pk), confirmed_at=NOW
    )
    defaults = {"subscriber": subscriber, "day": date(2026, 6, 1)}
    digest = Digest(pk=pk, public_id=uuid.UUID(int=pk + 100), **defaults)
    material = LetterData(digest=digest, topics=["Graphs"])
    for position, title in enumerate(titles, start=1):
        paper = Paper(id=f"2606.{position:05}", title=title, day=defaults["day"])
        paper.abstract = "We graph."
        pick = Pick(paper=paper, position=position, basis="topic", topic_name="Graphs")
        pick.unsaved_folded = []
        material.picks.append(pick)
    return material


def mime_of(content):
    moment = datetime(2026, 6, 1, 7, tzinfo=UTC)
    return render.as_bytes(
        content, to="reader@example.org", message_id="<digest.x@paperboy.example>", date=moment
    )
