"""Cooperative tasks in one thread: a small event loop for blocking code.

A task is a greenlet. While it waits (for a socket, another task or a condition), the hub runs the
others. Threads would compete for Python's global lock, thousands of times a second.
"""

import contextvars
import selectors
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

from greenlet import getcurrent, greenlet

POLL_SECONDS = 0.02  # Conditions are checked after each turn, and at least so often.


class _Task(greenlet):
    """A greenlet that knows its hub."""

    hub: "Hub"


def wait_for(descriptor, events: int, seconds: float) -> int:
    """Wait until a socket is ready. Return for which events, or 0 after `seconds`.

    In a task of a hub, the other tasks run meanwhile. Elsewhere, the thread waits.
    """
    task = getcurrent()
    if isinstance(task, _Task):
        return task.hub.wait_for(descriptor, events, seconds)
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, events)
        return sum(ready for _, ready in selector.select(max(seconds, 0)))


class Hub:
    """Runs tasks, in the greenlet that creates it. `run` raises the exceptions of tasks."""

    def __init__(self):
        self._main = getcurrent()
        self._tasks: set[_Task] = set()
        self._ready: deque[tuple[_Task, Any]] = deque()  # Tasks, and the values to resume with.
        self._parked: dict[_Task, float] = {}  # Waiting tasks, and until when.
        self._next_deadline = inf  # No task must be resumed earlier.
        self._conditions: dict[_Task, Callable[[], Any]] = {}
        self._selector = selectors.DefaultSelector()

    def spawn(self, function: Callable, *args) -> greenlet:
        """Start a task in the next turn."""

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

    def run(self, condition: Callable[[], bool] = lambda: False) -> None:
        """Run tasks until there are none, or until the condition holds."""
        while self._tasks and not condition():
            self._take_turn()

    def kill(self, spared: greenlet | None = None) -> None:
        """End all tasks but one, by raising GreenletExit in them."""
        for task in [task for task in self._tasks if task is not spared]:
            self._parked.pop(task, None)
            self._tasks.discard(task)
            task.throw()

    def close(self) -> None:
        self._selector.close()

    # ---- Called by tasks, to let others run

    def park(self, seconds: float = inf) -> Any:
        """Wait for `wake`. Return its value, or 0 after `seconds`."""
        deadline = time.monotonic() + seconds
        self._parked[getcurrent()] = deadline
        self._next_deadline = min(self._next_deadline, deadline)
        return self._main.switch()

    def wake(self, task: greenlet, value: Any) -> None:
        """Resume a parked task."""
        if self._parked.pop(task, None) is not None:
            self._ready.append((task, value))

    def pause(self) -> None:
        """Let all others run once."""
        self._ready.append((getcurrent(), None))
        self._main.switch()

    def run_in_main(self, job: Callable[[], Any]) -> Any:
        """Run a job in the main greenlet and return its result.

        Deep calls are faster there: a task's own stack is small and must be extended repeatedly.
        """
        return self._main.switch(job)

    def wait_until(self, condition: Callable[[], Any], seconds: float = inf) -> None:
        """Wait until the condition holds, or for `seconds`."""
        task, deadline = getcurrent(), time.monotonic() + seconds
        while not condition() and (remaining := deadline - time.monotonic()) > 0:
            self._conditions[task] = condition
            try:
                self.park(remaining)
            finally:
                del self._conditions[task]

    def wait_for(self, descriptor, events: int, seconds: float) -> int:
        """Wait until a socket is ready. Return for which events, or 0 after `seconds`."""
        self._selector.register(descriptor, events, getcurrent())
        try:
            return self.park(seconds)
        finally:
            self._selector.unregister(descriptor)

    def _take_turn(self):
        for task in [task for task, condition in self._conditions.items() if condition()]:
            self.wake(task, True)
        timeout = POLL_SECONDS if self._conditions else inf
        timeout = 0 if self._ready else min(timeout, self._next_deadline - time.monotonic())
        for key, events in self._selector.select(None if timeout == inf else timeout):
            self.wake(key.data, events)
        now = time.monotonic()
        if now >= self._next_deadline:
            for task in [task for task, deadline in self._parked.items() if deadline <= now]:
                self.wake(task, 0)
            self._next_deadline = min(self._parked.values(), default=inf)
        for _ in range(len(self._ready)):
            task, value = self._ready.popleft()
            job = None if task.dead else task.switch(value)
            while callable(job):
                job = task.switch(job())


class Queue:
    """A queue between tasks. The task that began to wait last gets the next item."""

    def __init__(self, hub: Hub):
        self.hub = hub
        self.idle: list[greenlet] = []  # Tasks that wait for an item.
        self._is_closed = False
        self._items: deque = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item) -> None:
        if self.idle:
            self.hub.wake(self.idle.pop(), item)
        else:
            self._items.append(item)

    def put_back(self, item) -> None:
        """Put an item at the front."""
        self._items.appendleft(item)
        if self.idle:
            self.hub.wake(self.idle.pop(), self._items.popleft())

    def get(self) -> Any:
        """Return the next item, or None once the queue is closed."""
        if self._items:
            return self._items.popleft()
        if self._is_closed:
            return None
        self.idle.append(getcurrent())
        return self.hub.park()

    def filter(self, condition: Callable[[Any], bool]) -> None:
        """Drop the items for which the condition does not hold."""
        self._items = deque(filter(condition, self._items))

    def close(self) -> None:
        self._is_closed = True
        while self.idle:
            self.hub.wake(self.idle.pop(), None)
