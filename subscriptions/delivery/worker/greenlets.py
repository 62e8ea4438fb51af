"""Tasks that take turns in one thread: each is plain code that waits where it has to.

A task is a greenlet. Where it waits (for a socket, for another task, for a condition), the hub
runs the others. Threads would take turns at Python's lock, thousands of times a second.
"""

import contextvars
import selectors
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from greenlet import getcurrent, greenlet

LOOK_SECONDS = 0.02  # Conditions are looked at after each turn, and so often where nothing happens.


class _Task(greenlet):
    """A greenlet that knows its hub."""

    hub: "Hub"


def wait_for(descriptor, events: int, seconds: float) -> int:
    """Wait until a socket is ready. Return for which events, or 0 where the time is over.

    In a task of a hub, the other tasks go on meanwhile; anywhere else, the thread waits.
    """
    task = getcurrent()
    if isinstance(task, _Task):
        return task.hub.wait_for(descriptor, events, seconds)
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, events)
        return sum(ready for _, ready in selector.select(max(seconds, 0)))


class Hub:
    """Runs tasks, in the greenlet that creates it. What breaks a task is raised from `run`."""

    def __init__(self):
        self._main = getcurrent()
        self._tasks: set[_Task] = set()
        self._ready: deque[tuple[_Task, Any]] = deque()  # Tasks with what they are resumed with.
        self._parked: dict[_Task, float] = {}  # Tasks that wait, and until when.
        self._earliest = inf  # None of these ends before.
        self._conditions: dict[_Task, Callable[[], Any]] = {}
        self._selector = selectors.DefaultSelector()

    def spawn(self, function: Callable, *args) -> greenlet:
        """Have a task begin in the next turn."""

        def work(_):
            try:
                function(*args)
            finally:
                self._tasks.discard(task)

        task = _Task(work, self._main)
        task.hub, task.gr_context = self, contextvars.copy_context()
        self._tasks.add(task)
        self._ready.append((task, None))
        return task

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Let tasks take turns until there are none, or something is so."""
        while self._tasks and not until():
            self._take_turn()

    def kill(self, but: greenlet | None = None) -> None:
        """End all tasks but one where they are: GreenletExit is raised there."""
        for task in [task for task in self._tasks if task is not but]:
            self._parked.pop(task, None)
            self._tasks.discard(task)
            task.throw()

    def close(self) -> None:
        self._selector.close()

    # ---- What tasks call, to let others go on

    def park(self, seconds: float = inf) -> Any:
        """Wait for `wake`. Return what it says, or 0 where the time is over."""
        until = time.monotonic() + seconds
        self._parked[getcurrent()] = until
        self._earliest = min(self._earliest, until)
        return self._main.switch()

    def wake(self, task: greenlet, said: Any) -> None:
        """Let a task go on that is parked."""
        if self._parked.pop(task, None) is not None:
            self._ready.append((task, said))

    def pause(self) -> None:
        """Let all others have a turn."""
        self._ready.append((getcurrent(), None))
        self._main.switch()

    def in_main(self, job: Callable[[], Any]) -> Any:
        """Return what a job returns that is done outside of the task.

        Deep calls are faster there: a task's own stack is small, and is extended again and again.
        """
        return self._main.switch(job)

    def wait_until(self, condition: Callable[[], Any], seconds: float = inf) -> None:
        """Wait until something is so, or the time is over."""
        task, end = getcurrent(), time.monotonic() + seconds
        while not condition() and (left := end - time.monotonic()) > 0:
            self._conditions[task] = condition
            try:
                self.park(left)
            finally:
                del self._conditions[task]

    def wait_for(self, descriptor, events: int, seconds: float) -> int:
        """Wait until a socket is ready. Return for which events, or 0 where the time is over."""
        self._selector.register(descriptor, events, getcurrent())
        try:
            return self.park(seconds)
        finally:
            self._selector.unregister(descriptor)

    def _take_turn(self):
        for task in [task for task, condition in self._conditions.items() if condition()]:
            self.wake(task, True)
        patience = min(self._earliest - time.monotonic(), LOOK_SECONDS if self._conditions else inf)
        if self._ready:
            patience = 0
        for key, events in self._selector.select(None if patience == inf else patience):
            self.wake(key.data, events)
        now = time.monotonic()
        if now >= self._earliest:
            for task in [task for task, until in self._parked.items() if until <= now]:
                self.wake(task, 0)
            self._earliest = min(self._parked.values(), default=inf)
        for _ in range(len(self._ready)):
            task, said = self._ready.popleft()
            asked = None if task.dead else task.switch(said)
            while callable(asked):
                asked = task.switch(asked())


class Queue:
    """What some tasks put in, others get: the one that came last of those that wait."""

    def __init__(self, hub: Hub):
        self.hub = hub
        self.idle: list[greenlet] = []  # Tasks that wait for something.
        self._is_closed = False
        self._things: deque = deque()

    def __len__(self) -> int:
        return len(self._things)

    def put(self, thing) -> None:
        if self.idle:
            self.hub.wake(self.idle.pop(), thing)
        else:
            self._things.append(thing)

    def put_back(self, thing) -> None:
        """Let something be the next that is got."""
        self._things.appendleft(thing)
        if self.idle:
            self.hub.wake(self.idle.pop(), self._things.popleft())

    def get(self) -> Any:
        """Return the next thing; None once the queue is closed."""
        if self._things:
            return self._things.popleft()
        if self._is_closed:
            return None
        self.idle.append(getcurrent())
        return self.hub.park()

    def filter(self, condition: Callable[[Any], bool]) -> None:
        """Drop the things of which this is not so."""
        self._things = deque(filter(condition, self._things))

    def close(self) -> None:
        self._is_closed = True
        while self.idle:
            self.hub.wake(self.idle.pop(), None)
