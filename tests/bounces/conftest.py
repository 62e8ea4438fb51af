"""A subscriber of long standing, and a letter that has left to them."""

import pytest

from tests import came_back, make
from tests.bounces.receiving import DAY
from tests.make import NOW


@pytest.fixture
def reader():
    return make.subscriber("reader@example.org", now=NOW - 30 * DAY)


@pytest.fixture
def letter(reader):
    return came_back.letter(reader)
