"""The disk is full (fault 45): nothing leaves that can't be written down, and nothing is lost."""

import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.cluster import Postgres
from tests.faults.conftest import opened
from tests.faults.installation import Installation, make_template
from tests.faults.invariants import check
from tests.helpers import services

pytestmark = [pytest.mark.services, pytest.mark.nightly]

MOUNT_OPTIONS = "size=160m,mode=0777"
PEOPLE = 300
PROCESSES = ("one", "two", "beat")


@pytest.fixture
def disk():
    """A small disk, to which PostgreSQL's user finds the way as well."""
    services.require("mount")
    disk = Path(tempfile.mkdtemp(prefix="paperboy-disk-"))
    disk.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", MOUNT_OPTIONS, "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)
    disk.rmdir()


@pytest.fixture
def small(disk, tmp_path, mail, request):
    """An installation whose database is on the small disk."""
    postgres = Postgres(disk, "--wal-segsize=1")
    (tmp_path / "template").mkdir()
    template = make_template(postgres, tmp_path / "template")
    yield from opened(Installation(tmp_path, postgres, template, mail), request)
    postgres.close()


def fill(ballast):
    """Write into this file until nothing more can be written."""
    with ballast.open("ab") as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
            file.flush()


def test_full_disk_stops_letters_until_there_is_room(small, disk, mail):
    mail.at_dot = lambda recipient: time.sleep(0.3)
    small.invite(PEOPLE)
    small.start_all(*PROCESSES)
    small.wait_for("letters under way", 60, lambda: len(mail.arrived) > 20)

    ballast, dots = disk / "ballast", -1
    while mail.dots > dots:  # The database has some room of its own, and comes by more.
        dots = mail.dots
        fill(ballast)
        time.sleep(5)
    assert mail.dots < PEOPLE, "it was never full"
    said = small.said("one") + small.said("two")
    assert "No space left on device" in said
    assert "Not recorded yet" in said

    ballast.unlink()
    with suppress(subprocess.CalledProcessError):  # It is up, unless it could not write its log.
        small.postgres.start()
    for name in PROCESSES:
        small.revive(name)
    small.rest(90)
    assert check(small).accepted == PEOPLE
