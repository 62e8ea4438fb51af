"""Where the time of a worker goes that delivers letters, by what its code is there for."""

import signal
from collections import Counter
from functools import cache

#: What each file is for, the first of which a path holds the name. The innermost frame counts.
FILES = {
    "/django/db/": "database",
    "/psycopg": "database",
    "/subscriptions/statements.py": "database",
    "/post/ledger.py": "database",
    "/post/rows.py": "database",
    "/post/providers.py": "database",
    "/post/sending.py": "database",
    "/post/clock.py": "database",
    "/post/compression.py": "compressing",
    "/post/journal.py": "journal",
    "/post/smtp_": "conversation",
    "/post/replies.py": "conversation",
    "/post/lines.py": "conversation",
    "/selectors.py": "conversation",
    "/socket.py": "conversation",
    "/post/writing.py": "composing",
    "/post/": "the round itself",
    "/django/template/": "rendering blocks",
    "/premailer/": "rendering blocks",
    "/cssutils/": "rendering blocks",
    "/digest/": "composing",
    "/subscriptions/": "composing",
}


class Sampler:
    """Looks a hundred times a second what the main thread is at, by the wall clock: the round,
    or the job at its desk.

    By a signal: a thread would see it only where it gives up the interpreter, that is mostly in
    the conversation.
    """

    SECONDS = 0.01

    def __init__(self):
        self.parts: Counter[str] = Counter()

    def __enter__(self):
        signal.signal(signal.SIGALRM, lambda _, frame: self.parts.update([_part(frame)]))
        signal.setitimer(signal.ITIMER_REAL, self.SECONDS, self.SECONDS)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _part(frame):
    """Return what the frame's code is there for."""
    part, is_composing, is_reading = "", False, False
    while frame is not None:
        code = frame.f_code
        if code.co_filename.endswith("/selectors.py") and code.co_name == "select":
            return "waiting for the server or the database"
        part = part or _part_of(code.co_filename)
        is_composing |= _is_composing(code)
        is_reading |= code.co_filename.endswith("/digest/materials.py")
        frame = frame.f_back
    if is_reading:
        return "reading for composing"
    if is_composing and part != "rendering blocks":
        return "composing"
    return part or "the rest"


def _is_composing(code):
    return code.co_name == "compose" and code.co_filename.endswith("/post/conversations.py")


@cache
def _part_of(path):
    return next((part for name, part in FILES.items() if name in path), "")
