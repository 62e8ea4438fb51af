"""Files of tests/data: tables of cases, and data of old installations."""

import json
import tomllib
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"


def text(name: str) -> str:
    return (DATA / name).read_text("utf-8")


def load(name: str):
    """Return the content of a JSON or TOML file, or the lines of a text file without comments."""
    match name.rpartition(".")[2]:
        case "json":
            return json.loads(text(name))
        case "toml":
            return tomllib.loads(text(name))
    return [line for line in text(name).splitlines() if line and not line.startswith("# ")]


def cases(name: str):
    """Return the tables of tests/data/NAME.json by their names."""
    return load(f"{name}.json")


def as_json(value):
    """Return a value as JSON has it: dates as ISO strings, tuples as lists."""
    return json.loads(json.dumps(value, default=str))


def pairs(name: str) -> list[list[str]]:
    """Return the lines "INPUT ⇒ EXPECTED" of tests/data/NAME.txt, as pairs."""
    return [line.split(" ⇒ ") for line in text(f"{name}.txt").splitlines() if " ⇒ " in line]


def repeated(pieces: list) -> bytes:
    """Return the bytes of pieces: a text or a list of pieces, and how often it is repeated."""
    return b"".join(
        (text.encode("latin-1") if isinstance(text, str) else repeated(text)) * count
        for text, count in pieces
    )
