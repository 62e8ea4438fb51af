"""The YAML file of `manage.py once`: the address, interests and feedback of one person."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import yaml
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from digest.papers.registry import CATEGORIES
from digest.sources import zotero
from digest.sources.arxiv import taxonomy
from subscriptions import addresses
from subscriptions.models import Subscriber
from subscriptions.models.subscribers import known_zone

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


class WrongField(ValueError):
    """A field can't be used. The message says why, without the line."""

    def __init__(self, node: Node, message: str):
        super().__init__(message)
        self.line = line_of(node)


def read(path: Path) -> OnceFile:
    """Return what the file says. Raises CommandError with a sentence for each fault."""
    fields, faults = {"path": path}, []
    for name_node, node in _pairs(path):
        name = str(name_node.value)
        try:
            if name not in READERS:
                hint = get_close_matches(name, READERS, n=1) or [", ".join(READERS)]
                raise WrongField(name_node, f"there is no field {name!r}; use {hint[0]}.")
            if name in fields:
                raise WrongField(name_node, f"{name} is there twice.")
            if node.value not in ("", "~", "null"):
                fields[name] = READERS[name](node)
        except ValidationError as error:
            faults.append(f"{path.name}, line {line_of(node)}: {name}: {' '.join(error.messages)}")
        except WrongField as error:
            faults.append(f"{path.name}, line {error.line}: {error}")
    if bibliography := fields.get("bibliography"):
        fields["bibliography"] = path.parent / bibliography[0]
        if not fields["bibliography"].is_file():
            line = bibliography[1]
            faults.append(f"{path.name}, line {line}: there is no file {bibliography[0]}.")
    if not faults and "to" not in fields:
        faults.append(f"{path.name} has no address: add a line `to: you@example.org`.")
    if not faults and fields.keys().isdisjoint(("interests", "zotero", "bibliography")):
        faults.append(f"{path.name} says nothing about your work: add `interests`.")
    if faults:
        raise CommandError("\n".join(faults))
    return OnceFile(**fields)


def line_of(node: Node) -> int:
    return node.start_mark.line + 1


def _pairs(path) -> list[tuple[Node, Node]]:
    """Return the nodes of the fields: nodes have lines, and ids such as 2511.01230 stay texts."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), yaml.SafeLoader)
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise CommandError(
            f"{path.name}, line {line}: this is not YAML ({error.problem}). Quote a text that has "
            f"a colon, and indent with spaces."
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise CommandError(
            f"{path.name} has characters that no text has. Save it as UTF-8."
        ) from None
    if not isinstance(root, MappingNode):
        raise CommandError(f"{path.name} has no fields: begin with a line `to: you@example.org`.")
    return root.value


# ---- Fields


def _text(node) -> str:
    if not isinstance(node, ScalarNode):
        raise WrongField(node, "this must be a text, not a list or fields.")
    return node.value.strip()


def _items(node) -> Iterator[tuple[str, Node]]:
    """Yield the texts of a list. A text is a list of one."""
    if isinstance(node, MappingNode):
        raise WrongField(node, "this must be a list, such as [one, two].")
    for item in node.value if isinstance(node, SequenceNode) else [node]:
        yield _text(item), item


def _interests(node) -> str:
    return "\n".join(text for text, _ in _items(node))


def _categories(node) -> list[str]:
    names = []
    for text, item in _items(node):
        if text.lower() not in CATEGORY_NAMES:
            nearest = get_close_matches(text.lower(), CATEGORY_NAMES, n=1)
            example = CATEGORY_NAMES[nearest[0]] if nearest else "cs.CL"
            raise WrongField(item, f"there is no category {text!r}; did you mean {example}?")
        names.append(CATEGORY_NAMES[text.lower()])
    return names


def _papers(node) -> int:
    text = _text(node)
    if not (text.isdecimal() and 1 <= int(text) <= 50):
        raise WrongField(node, f"papers must be a number from 1 to 50, not {text!r}.")
    return int(text)


def _timezone(node) -> str:
    known_zone(_text(node))
    return _text(node)


def _language(node) -> str:
    codes = dict(settings.LANGUAGES)
    if _text(node) not in codes:
        raise WrongField(node, f"language must be one of {', '.join(codes)}.")
    return _text(node)


def _zotero(node) -> str:
    if not (path := zotero.path_of(_text(node))):
        raise WrongField(
            node,
            "zotero must be the number of a user, or the address of a library such as "
            "https://www.zotero.org/groups/2373/soups.",
        )
    return path


def _papers_with_lines(node) -> dict[str, int]:
    return {text: line_of(item) for text, item in _items(node)}


READERS = {
    "to": lambda node: addresses.normalise(_text(node)),
    "interests": _interests,
    "categories": _categories,
    "papers": _papers,
    "timezone": _timezone,
    "language": _language,
    "zotero": _zotero,
    "bibliography": lambda node: (_text(node), line_of(node)),
    "more": _papers_with_lines,
    "less": _papers_with_lines,
}
