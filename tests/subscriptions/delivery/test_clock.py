"""The clock by which workers agree on leases."""

import pytest
from django.db import connection
from django.utils import timezone

from subscriptions.db import run_sql
from subscriptions.delivery.clock import database_now  # Itself: the tests' clock takes its place.

pytestmark = pytest.mark.django_db


def test_the_clock_is_the_databases_and_goes_on_amid_a_transaction():
    if connection.vendor != "postgresql":  # SQLite has no clock: ours is asked.
        assert database_now() == timezone.now()
        return
    ((before,),) = run_sql("SELECT clock_timestamp()")
    moment = database_now()
    ((after,),) = run_sql("SELECT clock_timestamp()")
    assert before < moment < after
