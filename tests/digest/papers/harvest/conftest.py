"""arXiv on loopback, with twenty days of announcements in three archives."""

import pytest

from tests.factories.announcements import ARCHIVES, announcements, listing_days
from tests.servers.arxiv import ArxivServer


@pytest.fixture(autouse=True)
def categories(settings):
    settings.ARXIV_CATEGORIES = list(ARCHIVES)


@pytest.fixture
def days():
    return listing_days(20)


@pytest.fixture
def server(days):
    server = ArxivServer(announcements(days), today=days[0], page_size=7)
    yield server
    server.close()
