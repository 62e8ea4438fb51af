"""Workers killed between a POST to a channel and the commit: four here, 200 at night."""

import os
import subprocess
import sys

import pytest

from tests.helpers import services


@pytest.mark.slow
@services.once
@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.nightly)])
def test_killed_worker_loses_no_post_and_repeats_once(tmp_path, kills):
    command = [sys.executable, "-m", "tests.faults.channels", "--kills", str(kills)]
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seen more than twice: 0" in done.stdout
