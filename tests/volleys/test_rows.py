"""What the steps of a letter cost the database."""

import pytest
from django.db import connection, models

from subscriptions.models import Letter
from tests.volleys.thirty import deliver, digests

#: What the claim and the fence change.
CHANGED = {
    *("state", "attempt", "lease_until", "left_at"),
    *("message_id", "frozen_at", "volley", "mime_at", "mime_size"),
}


def test_no_index_knows_what_the_claim_and_the_fence_change():
    """So PostgreSQL enters the changed row into none."""
    unique = [one for one in Letter._meta.constraints if isinstance(one, models.UniqueConstraint)]
    for index in [*Letter._meta.indexes, *unique]:
        named = {*index.fields, *index.condition.referenced_base_fields}
        assert not named & CHANGED, index.name
    assert not [name for name in CHANGED if Letter._meta.get_field(name).db_index]


@pytest.mark.django_db(transaction=True)
def test_claim_and_fence_mostly_write_no_index_entry(server):
    if connection.vendor != "postgresql":
        pytest.skip("runs with the tests on PostgreSQL")
    digests(count=60)
    before = updates()
    deliver()
    after = updates()
    assert after[0] - before[0] >= 180
    assert after[1] - before[1] >= 60  # Of the 120 of both steps; some pages have no room yet.


def updates():
    """Return how many rows of letters were updated, and how many of these on their page."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
            "WHERE relname = 'subscriptions_letter'"
        )
        return cursor.fetchone()
