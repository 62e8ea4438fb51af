"""One cluster for all cases of a process, and an installation for each."""

import fcntl
import os
from contextlib import contextmanager

import pytest

from tests.faults.cluster import Postgres
from tests.faults.installation import Installation, make_template
from tests.faults.mailserver import MailServer
from tests.helpers import services


@pytest.fixture(scope="session")
def postgres():
    """A cluster of our own: also where the other tests run on PostgreSQL, these run once."""
    if "DATABASE_URL" in os.environ:
        pytest.skip("brings its own PostgreSQL: runs with the tests on the embedded defaults")
    services.require("initdb", "redis-server")
    postgres = Postgres()
    yield postgres
    postgres.close()


@pytest.fixture(scope="session")
def template(postgres, tmp_path_factory):
    """Make the tables once for all processes that run cases: the others get a copy."""
    with of_all_processes(tmp_path_factory) as folder:
        dump = folder / "template.dump"
        if dump.exists():
            return postgres.restore(dump)
        template = make_template(postgres, tmp_path_factory.mktemp("template"))
        postgres.dump(template, dump)
    return template


@contextmanager
def of_all_processes(tmp_path_factory):
    """Yield the folder of all processes of this run, to one of them at a time."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # It has a folder within that one.
        folder = folder.parent
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture
def mail():
    mail = MailServer()
    yield mail
    mail.close()


@pytest.fixture
def installation(tmp_path, postgres, template, mail, request):
    """An installation without any process."""
    yield from opened(Installation(tmp_path, postgres, template, mail), request)


def opened(installation, request):
    """At last, end the processes of an installation; show their logs where a test has failed."""
    failed_before = request.session.testsfailed
    yield installation
    installation.close()
    if request.session.testsfailed > failed_before:
        installation.print_logs()
