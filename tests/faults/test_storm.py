"""Everything at once: a small storm in each run, great ones at night (see storm.py)."""

import random

import pytest

from tests.faults.storm import line_of, storm

pytestmark = [pytest.mark.services, pytest.mark.slow]


GREAT = [pytest.param(2_000, marks=pytest.mark.nightly) for _ in range(20)]


@pytest.mark.parametrize("people", [120, *GREAT])
def test_storm_loses_no_letter_and_counts_each_resend(tmp_path, postgres, template, people):
    seed = random.randrange(10_000)
    print(f"seed {seed}")  # noqa: T201
    passed = storm(tmp_path, postgres, template, seed, people)
    print(line_of(passed))  # noqa: T201
    assert passed.is_well, passed
