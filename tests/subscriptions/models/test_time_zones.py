"""Names of time zones: which are taken, and what becomes of one that is lost."""

import pytest
from django.core.exceptions import ValidationError

from digest.models import Digest
from digest.planning import plan
from subscriptions.models import known_zone
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import data_files

DATA = data_files.load("schedule.toml")


@pytest.mark.parametrize("name", DATA["zones"])
def test_iana_zones_are_accepted(name):
    known_zone(name)


@pytest.mark.parametrize("name", DATA["no_zones"])
def test_other_names_are_refused(name):
    with pytest.raises(ValidationError, match="is not a time zone"):
        known_zone(name)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Mars/Olympus", "Asia", ""])
def test_unknown_zone_counts_as_utc(name):
    make.paper("Graph networks")
    lost = make.subscriber(interests="graph networks", timezone=name, paused_until=NOW.date())
    make.subscriber(interests="graph networks")
    plan.plan(NOW)
    assert lost.state_at(NOW) == "active"
    assert Digest.objects.filter(day=NOW.date()).count() == 2
