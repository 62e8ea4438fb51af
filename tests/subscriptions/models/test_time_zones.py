"""Names of time zones: which are taken, and what becomes of one that is lost."""

import pytest
from django.core.exceptions import ValidationError

from digest.models import Digest
from digest.planning import plan
from subscriptions.models import known_zone
from tests.factories import make
from tests.factories.make import NOW

ZONES_OF_IANA = [
    *["UTC", "Etc/GMT+5", "Europe/Berlin", "America/Indiana/Knox", "Asia/Calcutta", "EST5EDT"]
]


@pytest.mark.parametrize("name", ZONES_OF_IANA)
def test_iana_zones_are_accepted(name):
    known_zone(name)


NO_ZONES = [
    *["localtime", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin", "", "Europe"],
    *["europe/berlin", "Mars/Olympus", "../etc/localtime", "a\0b"],
]


@pytest.mark.parametrize("name", NO_ZONES)
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
