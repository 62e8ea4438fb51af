"""What readers bring along, by the page or without, and what the page then says."""

from datetime import timedelta

import lxml.html
from django.urls import reverse

from digest.indexing import model_store
from digest.personalization import feedback, library
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW
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
    return reverse("library", args=[tokens.token("preferences", reader.public_id)])


def look(client, reader, text, **more):
    """Return the page that shows what a bibliography would add."""
    return client.post(address(reader), {"text": text} | more)


def paste(client, reader, text):
    """Add a bibliography, as its preview does."""
    return client.post(address(reader), {"text": text, "add": "1"}, follow=True)


def known_to(reader):
    return [paper.title for paper in reader.library.all()]


def words_of(response):
    return " ".join(
        lxml.html.fromstring(response.content).xpath("//main")[0].text_content().split()
    )


def taught(count=12):
    """Make a reader who follows nothing, and whose library has so many papers on molecules."""
    past = NOW.date() - timedelta(days=20)
    others(day=past)
    theme(ROADS, 0, 6, day=past)
    known = theme(MOLECULES, 0, count, day=past)
    model_store.fit(NOW)
    reader = make.subscriber(size=3)
    entries = [f"@misc{{k, title = {{{p.title}}}, abstract = {{{p.abstract}}}}}" for p in known]
    library.add(reader, "\n".join(entries), NOW)
    feedback.learn(NOW)
    return reader
