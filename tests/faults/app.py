"""The workers under test: Paperboy's Celery app, with short times and places to die at.

`celery -A tests.faults.app worker …`. FAULT_TIMES holds JSON of module constants in seconds,
FAULT_CELERY of Celery's settings; FAULT_AT is a point and how often to die there
(`after_final_check:2`), counted over restarts in FAULT_FOLDER; FAULT_POISON is a paper, and what
happens to whoever composes a letter with it (`2606.00001:dies`); FAULT_MEMORY is how many megabytes
a process may take beyond what it has.
"""

import ctypes
import fcntl
import importlib
import json
import os
import resource
import signal
import time
from datetime import timedelta
from functools import wraps
from pathlib import Path

import django
import psutil

from config.celery import app
from tests.helpers.data_files import cases

__all__ = ["app"]

#: What is shortened: the proportions stay those of the real ones.
TIMES = cases("fault_times")["usual"]
FAST = 1.0  # Seconds between two ticks of beat.


def shorten(times: dict) -> None:
    """Set module constants, each in the type that it has."""
    for name, seconds in times.items():
        module, _, constant = name.partition(":")
        module = importlib.import_module(module)
        setattr(module, constant, _like(getattr(module, constant), seconds))


def _like(real, seconds):
    if isinstance(real, dict):
        return {key: _like(real[key], seconds[key]) for key in real}
    if isinstance(real, list):
        return [timedelta(seconds=one) for one in seconds]
    return timedelta(seconds=seconds) if isinstance(real, timedelta) else seconds


ROUND = "subscriptions.delivery.worker", "Round"
CONNECTION = "subscriptions.delivery.transports.smtp", "Client"
LEDGER = ("subscriptions.delivery.transitions",)
WORKER = ("subscriptions.delivery.worker",)
TRANSACTIONS = "subscriptions.delivery.transactions", "Transactions"
#: Point -> (module and class, function, before or after it, for which arguments).
POINTS = {
    "after_claim": (ROUND, "_render", "before", lambda round_: round_._unrendered),
    "in_claim": (LEDGER, "claim", "after", lambda now, *_: True),
    "hint_taken": (WORKER, "deliver_due", "before", lambda *_: True),
    "before_final_check": (LEDGER, "final_check", "before", lambda letters, *_: letters),
    "after_final_check": (CONNECTION, "finish", "before", lambda *_: True),
    "after_250": (TRANSACTIONS, "commit_batch", "before", lambda _, accepted, *rest: accepted),
    "before_commit": (LEDGER, "accept", "after", lambda letters, *_: letters),
}


def plant(order: str) -> None:
    """Let the process die (or stop, with `:stop`) at a point, so often."""
    point, times, *how = order.split(":")
    (module, *cls), name, when, applies = POINTS[point]
    owner = importlib.import_module(module)
    if cls:
        owner = getattr(owner, *cls)
    function = getattr(owner, name)
    number = signal.SIGSTOP if how == ["stop"] else signal.SIGKILL

    def strike(args):
        if applies(*args) and _may_strike(point, int(times)):
            os.kill(os.getpid(), number)
            time.sleep(0.1)  # Another thread may get the signal.

    @wraps(function)
    def planted(*args, **kwargs):
        if when == "before":
            strike(args)
        result = function(*args, **kwargs)
        if when == "after":
            strike(args)
        return result

    setattr(owner, name, planted)


def _may_strike(point, times) -> bool:
    """Count a strike on the disk, so that the count outlives who is struck."""
    file = Path(os.environ["FAULT_FOLDER"]) / f"struck-{point}"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # Connections strike from threads of their own.
        if os.fstat(descriptor).st_size >= times:
            return False
        os.write(descriptor, b"x")
        return True
    finally:
        os.close(descriptor)


def _eat():
    hoard = []
    while True:
        hoard.append(bytearray(2**20))


#: What a poisonous paper does to a process: a segmentation fault, say.
EFFECTS = {"dies": lambda: ctypes.string_at(0), "eats": _eat, "sleeps": lambda: time.sleep(600)}


def poison(order: str) -> None:
    """Let this befall the process where it composes a letter with this paper."""
    from digest.letters import compose

    lines_of = compose.lines_of
    paper_id, _, effect = order.rpartition(":")

    def poisoned(material):
        if any(pick.paper_id == paper_id for pick in material.picks):
            EFFECTS[effect]()
        return lines_of(material)

    compose.lines_of = poisoned


def limit_memory(megabytes: int) -> None:
    """Let the process have so much address space beyond what it has."""
    limit = psutil.Process().memory_info().vms + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if changes := os.environ.get("FAULT_CELERY"):
    app.conf.update(json.loads(changes))
app.conf.beat_schedule = {
    name: entry | {"schedule": FAST, "options": entry["options"] | {"expires": 30}}
    for name, entry in app.conf.beat_schedule.items()
    if entry["options"].get("queue") == "tick"
}


django.setup()
shorten(TIMES | json.loads(os.environ.get("FAULT_TIMES", "{}")))
if order := os.environ.get("FAULT_AT"):
    plant(order)
if order := os.environ.get("FAULT_POISON"):
    poison(order)
if megabytes := os.environ.get("FAULT_MEMORY"):
    limit_memory(int(megabytes))
