"""Several who act at one moment, each in a thread with database connections of its own."""

from collections.abc import Callable
from contextlib import contextmanager
from threading import Barrier, Event, Thread

from django.db import connection, connections, transaction

SECONDS = 60  # Then they wait for each other for ever.


def at_once(*acts: Callable) -> list:
    """Do all of these at one moment. Return what each returned or, in its place, raised."""
    barrier, came_of = Barrier(len(acts)), {}

    def run(place):
        barrier.wait(SECONDS)
        try:
            came_of[place] = acts[place]()
        except Exception as error:
            came_of[place] = error
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=[place], daemon=True) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert len(came_of) == len(acts), "somebody waits for ever"
    return [came_of[place] for place in range(len(acts))]


def errors_of(came_of: list) -> list[Exception]:
    """Return what was raised, of all that `at_once` returned."""
    return [one for one in came_of if isinstance(one, Exception)]


def uncommitted(act: Callable) -> tuple[Thread, Event]:
    """Do something in a transaction of a thread. Return the thread, and what lets it commit."""
    done, commit = Event(), Event()

    def do():
        with transaction.atomic():
            act()
            done.set()
            commit.wait(30)
        connection.close()

    thread = Thread(target=do)
    thread.start()
    assert done.wait(10)
    return thread, commit


@contextmanager
def once_before(statement, act):
    """Act once, as another process might, right before the first statement that holds this."""
    done = []

    def look(execute, sql, params, many, context):
        if statement in sql and not done:
            done.append(sql)
            act()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield
    assert done
