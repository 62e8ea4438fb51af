"""Everything at once: a small storm in each run, great ones at night (see storm.py)."""

import random

import pytest

from tests.faults.storm import line_of, storm

pytestmark = [pytest.mark.services, pytest.mark.slow]


def weather(tmp_path, postgres, template, people, has_oracle):
    seed = random.randrange(10_000)
    print(f"seed {seed}")  # noqa: T201
    passed = storm(tmp_path, postgres, template, seed, people, has_oracle=has_oracle)
    print(line_of(passed))  # noqa: T201
    return passed


def test_a_storm_costs_nobody_her_letter_and_nobody_gets_two(tmp_path, postgres, template):
    passed = weather(tmp_path, postgres, template, people=120, has_oracle=True)
    assert passed.is_well, passed
    assert (passed.outcome.doubled, passed.outcome.unknown) == (0, 0)


@pytest.mark.nightly
@pytest.mark.parametrize("has_oracle", [True, False])
@pytest.mark.parametrize("number", range(10))
def test_a_great_storm_does_neither(tmp_path, postgres, template, has_oracle, number):
    passed = weather(tmp_path, postgres, template, people=2_000, has_oracle=has_oracle)
    assert passed.is_well, passed
    if has_oracle:
        assert (passed.outcome.doubled, passed.outcome.unknown) == (0, 0)
