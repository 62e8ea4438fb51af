"""The tables become those of the next version while letters leave (faults 13 and 50)."""

import threading

import psycopg
import pytest

from tests.faults.invariants import check
from tests.helpers import data_files

pytestmark = [pytest.mark.services, pytest.mark.slow]

#: What a migration may do: see tests/test_migrations.py.
NEXT_VERSION = data_files.load("next_version.txt")


def test_workers_run_on_with_the_next_versions_tables(installation, mail):
    """As `upgrade` does it: a change waits a moment for its table, and is tried again."""
    installation.invite(60)
    refused = []

    def change():
        with installation.connect() as connection:
            connection.execute("SET lock_timeout = '1s'")
            for number, statement in enumerate(NEXT_VERSION):
                installation.wait_for(
                    "letters", 60, lambda seen=5 * number: len(mail.arrived) > seen
                )
                while True:
                    try:
                        connection.execute(statement)
                        break
                    except psycopg.errors.LockNotAvailable as error:
                        refused.append(error)

    changing = threading.Thread(target=change)
    changing.start()
    installation.environment["EMAIL_URL"] = mail.address(connections=5)
    installation.deliver()
    changing.join()
    assert len(refused) < 5
    installation.invite(5)
    installation.deliver()
    assert check(installation).accepted == 65
    assert not any(letter["failed_attempts"] for letter in installation.letters())
    assert " ERROR " not in installation.said("passes")
