"""What holds for every page: each has a sample in pages.py, and all of these are looked at."""

import re
from collections import Counter

import lxml.html
import pytest
from django.test import Client

from tests import pages

pytestmark = pytest.mark.django_db


@pytest.fixture
def furnished(settings):
    """Give every page something to show."""
    settings.OPERATOR_NAME = "Example Library"
    settings.POSTAL_ADDRESS = "1 Shelf Street\n12345 Booktown"
    settings.CONTACT_EMAIL = "hello@papers.example.org"
    settings.IMPRINT_NOTE = settings.PRIVACY_NOTE = "First.\n\nSecond."
    pages.furnish()
    return Client(raise_request_exception=False)


def test_every_address_has_a_sample(furnished):
    assert set(pages.routes()) == {sample.route for sample in pages.samples()}


def test_no_page_sets_a_cookie_loads_from_elsewhere_or_names_what_is_not_there(furnished):
    for sample in pages.samples():
        answer = sample.answer(furnished)
        assert not answer.cookies, sample
        if not answer["Content-Type"].startswith("text/html"):
            continue
        page = lxml.html.fromstring(answer.content)
        loaded = page.xpath("//@src | //@srcset | //link[not(@rel='canonical')]/@href")
        assert [one for one in loaded if not re.match(r"/[^/]", one)] == [], sample
        ids = Counter(page.xpath("//@id"))
        assert [one for one, count in ids.items() if count > 1] == [], sample
        named = " ".join(page.xpath("//label/@for | //@aria-labelledby | //@aria-describedby"))
        assert set(named.split()) <= set(ids), sample
        assert len(page.xpath("//h1")) == len(page.xpath("//main")) == 1, sample
        assert page.xpath("//title")[0].text_content().strip().count(" · ") == 1, sample
