"""The YAML file of `manage.py once`: the address, interests and feedback of one person.

Fields are read from nodes: these have lines, and ids such as 2511.01230 stay texts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import yaml
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from digest.papers.registry import CATEGORIES
from digest.sources import zotero
from digest.sources.arxiv import taxonomy
from subscriptions import addresses
from subscriptions.models import Subscriber

#: Archives and categories of all sources, in lower case -> as their source writes them.
CATEGORY_NAMES = CATEGORIES | {name.lower(): name for name in taxonomy.HARVESTED}


@dataclass
class OnceFile:
    """What the file says.

    Attributes:
        zotero: path of a library in Zotero, as "users/475425".
        more, less: references to papers, each with its line in the file.
    """

    path: Path
    to: str = ""
    interests: str = ""
    categories: list[str] = field(default_factory=list)
    papers: int = Subscriber._meta.get_field("size").default
    timezone: str = "UTC"
    language: str = "en"
    zotero: str = ""
    bibliography: Path | None = None
    more: dict[str, int] = field(default_factory=dict)
    less: dict[str, int] = field(default_factory=dict)


def read(path: Path) -> OnceFile:
    """Return what the file says. Raises CommandError with a sentence."""
    try:
        with path.open("rb") as file:
            root = yaml.compose(file, yaml.SafeLoader)
        return OnceFile(path, **_fields(root))
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise CommandError(
            f"{path.name}, line {line}: {error.problem}{error.note or HINT}"
        ) from None
    except yaml.YAMLError:
        raise CommandError(f"{path.name} has characters of no text. Save it as UTF-8.") from None
    except ValueError as error:
        raise CommandError(f"{path.name} {error}") from None


HINT = ": this is not YAML. Quote a text that has a colon, and indent with spaces."


def _wrong(node: Node, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=node.start_mark, note=".")


def _fields(root) -> dict:
    """Return the fields by name. Raises MarkedYAMLError, or ValueError for what is missing."""
    if not isinstance(root, MappingNode):
        raise ValueError("has no fields: begin with a line `to: you@example.org`.")
    fields = {}
    for name_node, node in root.value:
        name = str(name_node.value)
        if name not in READERS:
            nearest = get_close_matches(name, READERS, n=1) or [", ".join(READERS)]
            raise _wrong(name_node, f"there is no field {name!r}; use {nearest[0]}")
        if name in fields:
            raise _wrong(name_node, f"{name} is there twice")
        try:
            if node.value:
                fields[name] = READERS[name](node)
        except ValidationError as error:
            raise _wrong(node, f"{name}: {' '.join(error.messages).rstrip('.')}") from None
    if "to" not in fields:
        raise ValueError("has no address: add a line `to: you@example.org`.")
    if fields.keys().isdisjoint(("interests", "zotero", "bibliography")):
        raise ValueError("says nothing about your work: add `interests`.")
    return fields


# ---- Fields


def _text(node) -> str:
    if not isinstance(node, ScalarNode):
        raise _wrong(node, "this must be a text, not a list or fields")
    return node.value.strip()


def _items(node) -> Iterator[tuple[str, Node]]:
    """Yield the texts of a list. A text is a list of one."""
    for item in node.value if isinstance(node, SequenceNode) else [node]:
        yield _text(item), item


def _of_subscriber(name, node):
    """Return the value of a field of Subscriber."""
    return Subscriber._meta.get_field(name).clean(_text(node), None)


def _categories(node) -> list[str]:
    for text, item in _items(node):
        if text.lower() not in CATEGORY_NAMES:
            nearest = get_close_matches(text.lower(), CATEGORY_NAMES, n=1)
            hint = f"the nearest is {CATEGORY_NAMES[nearest[0]]}" if nearest else "cs.CL is one"
            raise _wrong(item, f"there is no category {text!r}; {hint}")
    return [CATEGORY_NAMES[text.lower()] for text, _ in _items(node)]


def _zotero(node) -> str:
    if not (path := zotero.path_of(_text(node))):
        address = "https://www.zotero.org/groups/2373/soups"
        raise _wrong(node, f"zotero must be the number of a user, or an address like {address}")
    return path


def _bibliography(node) -> Path:
    path = Path(node.start_mark.name).parent / _text(node)
    if not path.is_file():
        raise _wrong(node, f"there is no file {_text(node)}")
    return path


def _papers_with_lines(node) -> dict[str, int]:
    return {text: item.start_mark.line + 1 for text, item in _items(node)}


READERS = {
    "to": lambda node: addresses.normalise(_text(node)),
    "interests": lambda node: "\n".join(text for text, _ in _items(node)),
    "categories": _categories,
    "papers": partial(_of_subscriber, "size"),
    "timezone": partial(_of_subscriber, "timezone"),
    "language": partial(_of_subscriber, "language"),
    "zotero": _zotero,
    "bibliography": _bibliography,
    "more": _papers_with_lines,
    "less": _papers_with_lines,
}
