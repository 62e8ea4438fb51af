"""Everything at once: a small storm in each run, great ones at night (see storm.py)."""

import random

import pytest

from tests.faults.storm import line_of, storm

pytestmark = [pytest.mark.services, pytest.mark.slow]


GREAT = [pytest.param(2_000, has, marks=pytest.mark.nightly) for has in [True, False] * 10]


@pytest.mark.parametrize(("people", "has_lookup"), [(120, True), *GREAT])
def test_storm_loses_and_doubles_no_letter(tmp_path, postgres, template, people, has_lookup):
    seed = random.randrange(10_000)
    print(f"seed {seed}")  # noqa: T201
    passed = storm(tmp_path, postgres, template, seed, people, has_lookup=has_lookup)
    print(line_of(passed))  # noqa: T201
    assert passed.is_well, passed
    if has_lookup:
        assert (passed.outcome.doubled, passed.outcome.unknown) == (0, 0)
