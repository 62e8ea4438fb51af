"""What readers bring along, by the page or without, and what the page then says."""

import lxml.html

from digest.indexing import model_store
from digest.personalization import feedback, library
from tests.factories import make
from tests.factories.feedback import address as feedback_address
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.themes import MOLECULES, ROADS, others, theme

BIBTEX = r"""
@string{nips = {Advances}}
@article{one,
  title = {{Sp{\"a}tzle} and the $\ell_1$ norm},
  abstract = {On noodles, their \emph{shapes} and {50\%} of all.},
  journal = nips,
  year = 2021,
}

@misc{two, title = "A second work on noodles", eprint = {2401.01234v2}, archiveprefix = {arXiv}}
"""


def address(reader):
    return feedback_address("library", reader)


def look(client, reader, text, **more):
    """Return the page that shows what a bibliography would add."""
    return client.post(address(reader), {"text": text} | more)


def paste(client, reader, text):
    """Add a bibliography, as its preview does."""
    return client.post(address(reader), {"text": text, "add": "1"}, follow=True)


def known_to(reader):
    return [paper.title for paper in reader.library.all()]


def words_of(response):
    (main,) = lxml.html.fromstring(response.content).xpath("//main")
    return " ".join(main.text_content().split())


def taught(count=12):
    """Make a reader who follows nothing, and whose library has so many papers on molecules."""
    past = TODAY - 20 * DAY
    others(day=past)
    theme(ROADS, 0, 6, day=past)
    known = theme(MOLECULES, 0, count, day=past)
    model_store.fit(NOW)
    reader = make.subscriber(size=3)
    entries = [f"@misc{{k, title = {{{p.title}}}, abstract = {{{p.abstract}}}}}" for p in known]
    library.add(reader, "\n".join(entries), NOW)
    feedback.learn(NOW)
    return reader
