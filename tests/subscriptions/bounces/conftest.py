"""A subscriber of long standing, and a letter that has left to them."""

import pytest

from tests.factories import make, returned_mail
from tests.factories.make import DAY, NOW


@pytest.fixture
def subscriber():
    return make.subscriber("reader@example.org", now=NOW - 30 * DAY)


@pytest.fixture
def letter(subscriber):
    return returned_mail.letter(subscriber)
