"""The clock by which workers agree on leases."""

import pytest
from django.db import connection
from django.utils import timezone

from subscriptions.db import run_sql
from subscriptions.delivery.clock import of_database  # Itself: the tests' clock takes its place.

pytestmark = pytest.mark.django_db


def test_the_clock_is_the_databases_and_goes_on_amid_a_transaction():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no clock but ours")
    ((before,),) = run_sql("SELECT clock_timestamp()")
    moment = of_database()
    ((after,),) = run_sql("SELECT clock_timestamp()")
    assert before < moment < after


def test_where_the_database_has_no_clock_of_its_own_ours_is_asked():
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL has one")
    assert of_database() == timezone.now()
