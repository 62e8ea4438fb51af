"""settings.py, read anew."""

import os
import runpy

import pytest

from tests.config.environment import ROOT


@pytest.fixture
def read_settings(monkeypatch, data_dir):
    """Return a function that reads settings.py in an environment that holds nothing else."""

    def read(**environment):
        with monkeypatch.context() as patched:
            patched.setattr(os, "environ", {"DATA_DIR": str(data_dir)} | environment)
            return runpy.run_path(str(ROOT / "config" / "settings.py"))

    return read
