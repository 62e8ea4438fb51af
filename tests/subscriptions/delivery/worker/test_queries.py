"""What the steps of a letter cost the database, and that less is asked of it for nothing."""

import pytest
from django.db import models, transaction
from django.db.models.base import ModelState

from subscriptions.delivery import transitions
from subscriptions.models import Letter
from tests.factories.make import NOW
from tests.subscriptions.delivery.worker.due_digests import digest_to

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


@pytest.mark.django_db
def test_a_claimed_letter_and_its_reader_are_as_the_models_say():
    digest_to("reader@example.org")
    with transaction.atomic():
        ((claimed,), _) = transitions.claim(NOW, 1)
    stored = Letter.objects.select_related("subscriber").get()
    for one, other in ((claimed, stored), (claimed.subscriber, stored.subscriber)):
        assert one == other
        fields = [field.attname for field in other._meta.concrete_fields]
        assert {name: getattr(one, name) for name in fields} == {
            name: getattr(other, name) for name in fields
        }
        assert type(one._state) is ModelState
        assert (one._state.db, one._state.adding) == ("default", False)
