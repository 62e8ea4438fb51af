"""arXiv on loopback, with twenty days of announcements in three archives."""

import pytest

from tests.arxiv_server import ArxivServer
from tests.harvesting.announced import ARCHIVES, announcements, listing_days


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
