"""Files of tests/data: tables of cases, and data of old installations."""

import json
import tomllib
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data"


def text(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def load(name: str):
    """Return the content of a JSON or TOML file, or the lines of a text file without comments."""
    match name.rpartition(".")[2]:
        case "json":
            return json.loads(text(name))
        case "toml":
            return tomllib.loads(text(name))
    return [line for line in text(name).splitlines() if line and not line.startswith("# ")]
