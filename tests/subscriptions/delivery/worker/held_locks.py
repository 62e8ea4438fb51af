"""Rows that another session of PostgreSQL holds."""

import threading
import time

import psycopg
import pytest
from django.db import connection

HOLD = """
    SELECT 1 FROM subscriptions_letter AS letter
    JOIN subscriptions_subscriber AS reader ON reader.id = letter.subscriber_id
    WHERE reader.email = %s FOR UPDATE OF letter
"""
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="it holds no rows")


def another_session():
    params = connection.get_connection_params()
    where = {name: params[name] for name in ("host", "port", "user", "dbname")}
    return psycopg.connect(**where)


def hold(letters_of, seconds, others=0):
    """Hold the row of somebody's letter for so long, and half a minute longer at most, until so
    many others are accepted. Return a list that gets, just before it is let go of, how many were.
    """
    other, seen = another_session(), []
    other.execute(HOLD, [letters_of])

    def let_go():
        until = time.monotonic() + 30
        with another_session() as third:
            third.autocommit = True
            count = "SELECT count(*) FROM subscriptions_letter WHERE state = 'accepted'"
            while (accepted := third.execute(count).fetchone()[0]) < others:
                if time.monotonic() > until:
                    break
                time.sleep(0.1)
        seen.append(accepted)
        other.close()

    threading.Timer(seconds, let_go).start()
    return seen
