"""What subscribers bring along, by the page or without, and what the page then says."""

import lxml.html

from digest.indexing import model_store
from digest.personalization import feedback, library
from tests.factories import make
from tests.factories.cases import DATA
from tests.factories.feedback import address as feedback_address
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.themes import MOLECULES, ROADS, others, theme

BIBTEX = (DATA / "noodles.bib").read_text()


def address(subscriber):
    return feedback_address("library", subscriber)


def look(client, subscriber, text, **more):
    """Return the page that shows what a bibliography would add."""
    return client.post(address(subscriber), {"text": text} | more)


def paste(client, subscriber, text):
    """Add a bibliography, as its preview does."""
    return client.post(address(subscriber), {"text": text, "add": "1"}, follow=True)


def known_to(subscriber):
    return [paper.title for paper in subscriber.library.all()]


def words_of(response):
    (main,) = lxml.html.fromstring(response.content).xpath("//main")
    return " ".join(main.text_content().split())


def taught(count=12):
    """Make a subscriber who follows nothing, and whose library has so many papers on molecules."""
    past = TODAY - 20 * DAY
    others(day=past)
    theme(ROADS, 0, 6, day=past)
    known = theme(MOLECULES, 0, count, day=past)
    model_store.fit(NOW)
    subscriber = make.subscriber(size=3)
    entries = [f"@misc{{k, title = {{{p.title}}}, abstract = {{{p.abstract}}}}}" for p in known]
    library.add(subscriber, "\n".join(entries), NOW)
    feedback.learn(NOW)
    return subscriber
