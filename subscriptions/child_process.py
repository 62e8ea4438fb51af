"""Parse untrusted files in a child process with limits, so that they cost nobody else anything.

The child, `python -m subscriptions.child_process`, has no settings and no database.
"""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

#: A smaller file takes less time than a child's start, whatever it contains.
SMALL_BYTES = 4_000
MAX_CHILDREN = 2  # At once, of all processes with the same DATA_DIR.
WALL_SECONDS = 60  # On a machine with other work.
LIMITS = {
    resource.RLIMIT_CPU: 10,  # Seconds.
    resource.RLIMIT_AS: 150_000_000,  # Bytes of address space,
    resource.RLIMIT_FSIZE: 15_000_000,  # of the result,
    resource.RLIMIT_CORE: 0,  # and of a core dump.
}


class ParseError(ValueError):
    """A file was not parsed. The message says why."""


class Busy(ParseError):
    """As many files as allowed are being parsed."""


class TooSlow(ParseError):
    """The parser took too much time."""


class TooLarge(ParseError):
    """The parser took too much memory, or its result is too long."""


class Broken(ParseError):
    """The parser failed."""


def run_limited(function: Callable, data: bytes, *arguments):
    """Return `function(data, *arguments)` as JSON has it, computed in a child unless it is small.

    A function of a module, whose import needs no settings. Arguments and result are plain data;
    dates become text. An error of the function is raised as Broken, with the text of a ValueError.

    Raises Busy, TooSlow, TooLarge or Broken.
    """
    call = json.dumps([function.__module__, function.__qualname__, *arguments], default=str)
    compute = _result_json if len(data) <= SMALL_BYTES else _result_of_child
    result, error = json.loads(compute(call.encode(), data))
    if error:
        raise Broken(error)
    return result


def _result_json(call, data) -> str:
    """Return the result and an empty text, or null and the error, as JSON."""
    module, name, *arguments = json.loads(call)
    try:
        return json.dumps([getattr(import_module(module), name)(data, *arguments), ""], default=str)
    except MemoryError:
        raise  # The child fails.
    except RecursionError:
        error = "the file is nested too deeply"
    except ValueError as exception:
        error = str(exception)[:500] or "the file is broken"
    except Exception as exception:
        error = f"the file is broken ({type(exception).__name__})"
    return json.dumps([None, error])


def _result_of_child(call, data):
    """Return what `_result_json` returns. Uses files, so that limits hold and nobody waits."""
    with _slot() as slot, TemporaryFile() as request, TemporaryFile() as answer:
        request.write(call + b"\n" + data)
        request.seek(0)
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", __name__],
            stdin=request,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            pass_fds=[slot],  # Locked until the child ends, also if this process ends first.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # And no secrets.
        )
        try:
            status = child.wait(WALL_SECONDS)
        except subprocess.TimeoutExpired:
            status = -signal.SIGALRM
        finally:
            child.kill()
            child.wait()
        if -status in (signal.SIGXCPU, signal.SIGALRM):
            raise TooSlow("the file takes too long to read")
        if status:  # No memory, too long a result, or killed by the kernel when memory is short.
            raise TooLarge("the file needs too much memory to read")
        answer.seek(0)
        return answer.read()


@contextmanager
def _slot() -> Iterator[int]:
    """Hold one of the locks for the block. Raises Busy."""
    from django.conf import settings  # Not in the child.

    folder = Path(settings.DATA_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for index in range(MAX_CHILDREN):
        with (folder / f"parser-{index}.lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield file.fileno()
            return
    raise Busy("other files are being read. Try again in a minute")


if __name__ == "__main__":
    for limit, amount in LIMITS.items():
        with suppress(ValueError):  # macOS has no limit on address space.
            # A hard limit of CPU time kills without saying why.
            resource.setrlimit(limit, (amount, amount + 1))
    signal.alarm(WALL_SECONDS)  # Also if nobody waits any more.
    call, _, data = sys.stdin.buffer.read().partition(b"\n")
    sys.stdout.write(_result_json(call, data))
