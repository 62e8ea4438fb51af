"""A message to subscribers under kills: to a few in each run, to 5,000 at night (messages.py)."""

import pytest

from tests.faults import messages


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("people", [120, pytest.param(5_000, marks=pytest.mark.nightly)])
def test_message_reaches_each_once_while_workers_are_killed(installation, people):
    figures = messages.run(installation, people, seed=1)
    print(figures)  # noqa: T201
    assert figures["wrong"] == []
    assert figures["sent"] < people
