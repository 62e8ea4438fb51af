"""A subscriber of long standing, and a letter that has left to them."""

import pytest

from tests.factories import make, returned_mail
from tests.factories.make import DAY, NOW


@pytest.fixture
def reader():
    return make.subscriber("reader@example.org", now=NOW - 30 * DAY)


@pytest.fixture
def letter(reader):
    return returned_mail.letter(reader)
