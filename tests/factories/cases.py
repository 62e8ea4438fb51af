"""Tables of inputs and expected results, kept as JSON files in tests/data."""

import json
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"


def cases(name):
    """Return the tables of tests/data/NAME.json by their names."""
    return json.loads((DATA / f"{name}.json").read_text())


def as_json(value):
    """Return a value as JSON has it: dates as ISO strings, tuples as lists."""
    return json.loads(json.dumps(value, default=str))


def pairs(name):
    """Return the lines "INPUT ⇒ EXPECTED" of tests/data/NAME.txt, as pairs."""
    lines = (DATA / f"{name}.txt").read_text().splitlines()
    return [line.split(" ⇒ ") for line in lines if " ⇒ " in line]
