"""arXiv's taxonomy: its archives and categories by name, and which categories are one.

As arXiv has it since 2017: 155 active categories in 20 archives.
"""

import re
from collections import defaultdict
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

PREFIX = re.compile(r"(?:arxiv|cat)\s*:\s*", re.IGNORECASE)
SEPARATOR = re.compile(r"\s*[,;\n]\s*")


def _tables() -> dict[str, dict[str, str]]:
    """Return the tables of `taxonomy.tsv`: each line holds a table, a key and a value."""
    tables: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for line in Path(__file__).with_suffix(".tsv").read_text("utf-8").splitlines():
        table, key, value = line.split("\t")
        tables[table][key] = value
    return tables


TABLES = _tables()
#: Archives and categories, each with its title.
ARCHIVES, CATEGORIES = TABLES["archive"], TABLES["category"]
#: Two names of one category, the second the one that counts.
ALIASES = TABLES["alias"]
#: Archives that were closed, and the category that took in their papers.
CLOSED = TABLES["closed"]

#: The archives that are a group of their own; all others belong to physics.
GROUPS = {"cs", "econ", "eess", "math", "q-bio", "q-fin", "stat"}

#: Archives whose names are no words, so that whoever writes one means its categories.
NO_WORDS = ("astro-ph", "cond-mat", "eess", "nlin", "q-bio", "q-fin")

#: As people may write them -> as arXiv does.
NAMES = {name.lower(): name for name in (*CATEGORIES, *CLOSED, *ALIASES)}
#: A name behind its title, as arXiv's pages write it: "Machine Learning (cs.LG)".
TITLED = re.compile(r"\s\(([a-z-]+(?:\.[a-z-]+)?)\)", re.IGNORECASE)

#: What can be asked for by name: all that new papers stand in.
HARVESTED = {*ARCHIVES, *CATEGORIES, *ALIASES}


def canonical(category: str) -> str:
    """Return the one name by which a category counts. What isn't known stays as it is."""
    return ALIASES.get(category) or CLOSED.get(category) or category


def merged(categories: list[str]) -> list[str]:
    """Return the categories by their canonical names, each once, in their order."""
    return list(dict.fromkeys(map(canonical, categories)))


def named(text: str) -> str:
    """Return the category that a text is the name of, such as "cs.lg", or nothing."""
    return canonical(NAMES.get(text.strip().lower(), ""))


def listed(names: list) -> list[str]:
    """Return categories as arXiv writes them, each once. Raises ValueError for an unknown one."""
    names = [name for name in (str(name).strip() for name in names) if name]
    if unknown := [name for name in names if not named(name)]:
        told = ", ".join(unknown)[:100]
        raise ValueError(f"arXiv has no category called {told}. They are like cs.LG, stat.ML.")
    return list(dict.fromkeys(NAMES[name.lower()] for name in names))


def meant(text: str) -> tuple[str, ...]:
    """Return the categories that a text is the name of: one, those of an archive, or those of all
    in a list of such names; else none.

    >>> meant("cs.lg"), meant("eess")
    (('cs.LG',), ('eess.AS', 'eess.IV', 'eess.SP', 'eess.SY'))
    >>> meant("cs.LG, stat.ML"), meant("cs.LG, bread")
    (('cs.LG', 'stat.ML'), ())
    >>> meant("arXiv:cs.CL"), meant("Machine Learning (cs.LG)")
    (('cs.CL',), ('cs.LG',))
    """
    titles = [*TITLED.finditer(text)] if "(" in text else []  # Planning asks of each topic.
    for title in reversed(titles):  # They have commas.
        name = CATEGORIES.get(named(title[1]), "")
        before = text[: title.start()]
        if name and before.lower().endswith(name.lower()):
            text = before[: -len(name)] + title[1] + text[title.end() :]
    names = [PREFIX.sub("", name) for name in SEPARATOR.split(text.strip()) if name]
    found = [_meant(name) for name in names]
    return tuple(dict.fromkeys(chain.from_iterable(found))) if all(found) else ()


def _meant(name: str) -> tuple[str, ...]:
    archive = name.lower()
    if archive in NO_WORDS:
        return tuple(name for name in CATEGORIES if archive_of(name) == archive)
    category = named(name)
    return (category,) if category else ()


def nearest(text: str) -> str:
    """Return the archive or category that a text that is none was meant for, or nothing.

    >>> nearest("cs.lg"), nearest("cmp-lg"), nearest("quant-phy"), nearest("bread")
    ('cs.LG', 'cs.CL', 'quant-ph', '')
    """
    names = {name.lower(): name for name in HARVESTED}
    near = get_close_matches(text.lower(), sorted(names), n=1)
    return CLOSED.get(text.lower()) or (names[near[0]] if near else "")


def archive_of(category: str) -> str:
    """Return the archive of a category: `cs` for cs.LG, `hep-th` for hep-th."""
    return category.partition(".")[0]


def group_of(category: str) -> str:
    """Return the group of a category's archive: `physics` for hep-th."""
    archive = archive_of(category)
    return archive if archive in GROUPS else "physics"
