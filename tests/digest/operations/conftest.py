"""A disk with room, whatever this machine's has."""

import shutil
from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def disk_usage(monkeypatch):
    """What `shutil.disk_usage` returns, and of which paths it was asked."""
    usage, look = SimpleNamespace(total=10**11, free=5 * 10**10, paths=[]), shutil.disk_usage

    def disk_usage(path):
        usage.paths.append(path)
        return look(path) and usage  # Raises where there is no such folder.

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    return usage
