"""Untrusted files are parsed in a child, which has limits and may end in any way."""

import gc
import random
import signal
import threading
import time

import psutil
import pytest
from django.core.exceptions import ValidationError

from digest.sources import bibliographies, journals
from digest.topics import topic_files
from subscriptions import child_process
from subscriptions.actions import invite
from subscriptions.child_process import Broken, Busy, TooLarge, TooSlow, run_limited
from tests.helpers import data_files
from tests.helpers.parsers import describe, eat_memory, end, fail, flood, recurse, sleep, spin

LARGE = b"x" * 5_000

# ---- What the parent sees


def test_child_returns_plain_data_and_knows_no_secrets(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hidden")
    result = run_limited(describe, LARGE, "Zoë", [1])
    assert (result["size"], result["arguments"]) == (5_000, ["Zoë", [1]])
    assert not {"SECRET_KEY", "DATABASE_URL", "PATH"} & result["environment"].keys()


@pytest.mark.parametrize("data", [b"", LARGE], ids=["small", "large"])
def test_error_of_a_parser_becomes_a_sentence(data):
    for function, arguments, sentence in [
        (fail, ["value"], "it has no title"),
        (fail, ["type"], r"the file is broken \(TypeError\)"),
        (recurse, [], "nested too deeply"),
    ]:
        with pytest.raises(Broken, match=sentence):
            run_limited(function, data, *arguments)


ENDS = [(eat_memory, [], TooLarge), (flood, [], TooLarge), (end, [signal.SIGKILL], TooLarge)]
ENDS += [(end, [signal.SIGSEGV], TooLarge), (end, [signal.SIGXCPU], TooSlow)]


@pytest.mark.parametrize(("function", "arguments", "error"), ENDS)
def test_parent_survives_any_end_of_the_child(function, arguments, error):
    with pytest.raises(error):
        run_limited(function, LARGE, *arguments)
    gc.collect()  # Popen warns of a child that nobody waited for.
    assert not psutil.Process().children()


def test_hanging_child_is_ended(monkeypatch):
    monkeypatch.setattr(child_process, "WALL_SECONDS", 1)
    with pytest.raises(TooSlow):
        run_limited(sleep, LARGE, 60)
    assert not psutil.Process().children()


def test_third_file_is_refused_while_two_are_parsed():
    threads = [threading.Thread(target=run_limited, args=(sleep, LARGE, 3)) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(psutil.Process().children()) < 2:
        time.sleep(0.01)
    with pytest.raises(Busy, match="Try again in a minute"):
        run_limited(describe, LARGE)
    assert run_limited(describe, b"small")["size"] == 5
    for thread in threads:
        thread.join()
    assert run_limited(describe, LARGE)["size"] == 5_000


@pytest.mark.slow
def test_endless_parser_is_ended_after_its_cpu_time():
    with pytest.raises(TooSlow):
        run_limited(spin, LARGE)


# ---- The four kinds of files

FILES = data_files.load("untrusted_files.toml")
VALID = {kind: data_files.repeated(pieces) for kind, pieces in FILES["valid"].items()}
ODD = [piece.encode("latin-1") for piece in FILES["odd"]["pieces"]] + [b"[" * 2_000]


def parse(kind, data):
    """Parse a file as its page does. A page shows these errors as sentences, and no others."""
    match kind:
        case "feed":
            return run_limited(journals.read, data, "Bread", "2026-06-03")
        case "bibliography":
            return bibliographies.read(data.decode(errors="replace"))
        case "people.csv":
            return invite.read_csv(data)
    return topic_files.format_of(kind).create_dataset(data)


def broken_files(count):
    """Yield files with a part cut out, repeated or replaced by odd bytes."""
    chance = random.Random(1)
    for number in range(count):
        kind = [*VALID][number % len(VALID)]
        data = VALID[kind]
        start, end = sorted(chance.sample(range(len(data)), 2))
        odd = [b"", data[start:end] * 2, chance.choice(ODD), chance.randbytes(50)]
        yield kind, data[:start] + chance.choice(odd) + data[end:]


@pytest.mark.slow
@pytest.mark.django_db
def test_broken_files_end_with_a_sentence():
    refusals = []
    for kind, data in broken_files(120):
        try:
            parse(kind, data)
        except (child_process.ParseError, ValidationError) as error:
            refusals.append(str(error))
    assert len(refusals) > 30
    assert all(len(text.split()) > 2 for text in refusals)


@pytest.mark.django_db
@pytest.mark.parametrize("file", FILES["refused"].values(), ids=FILES["refused"])
def test_hostile_file_is_refused_with_its_reason(file):
    text = data_files.repeated(file["pieces"]).decode()
    refusals = child_process.ParseError, ValidationError
    with pytest.raises(refusals, match=file["error"]):
        parse(file["kind"], text.encode(file.get("charset", "utf-8")))
