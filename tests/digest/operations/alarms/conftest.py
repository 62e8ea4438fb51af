"""A webhook that alarms are told to, and a disk with room."""

import shutil

import pytest

from tests.digest.operations.alarms.heartbeats import Usage
from tests.servers.webhook import Hook


@pytest.fixture
def hook(settings):
    with Hook() as hook:
        settings.ALARM_WEBHOOK = hook.url
        yield hook


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    """The disk has room, whatever this machine's has."""
    usage = {"free": 50 * 10**9}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**11, 0, usage["free"]))
    return usage
