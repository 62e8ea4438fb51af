"""A message to subscribers under kills: a few receivers here, 5,000 by hand (see messages.py)."""

import pytest

from tests.faults import messages

pytestmark = [pytest.mark.services, pytest.mark.slow]


def test_message_reaches_each_once_while_workers_are_killed(tmp_path, postgres, template):
    found = messages.run(tmp_path, postgres, template, 120, seed=1)
    assert found["wrong"] == {}
    assert found["sent"] < found["receivers"]
    assert found["longest delay of a digest, s"] < 60
