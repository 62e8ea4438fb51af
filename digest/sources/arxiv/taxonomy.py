"""arXiv's taxonomy since 2017: 155 active categories in 20 archives, with names and aliases."""

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
#: Aliases of categories -> the canonical name.
ALIASES = TABLES["alias"]
#: Closed archives -> the category of their papers.
CLOSED = TABLES["closed"]

#: The archives that are a group of their own; all others belong to physics.
GROUPS = {"cs", "econ", "eess", "math", "q-bio", "q-fin", "stat"}

#: Archives whose names are no words. In a topic, such a name means its categories.
NO_WORDS = ("astro-ph", "cond-mat", "eess", "nlin", "q-bio", "q-fin")

#: Names in lower case -> as arXiv writes them.
NAMES = {name.lower(): name for name in (*CATEGORIES, *CLOSED, *ALIASES)}
#: A name after its title, as on arXiv's pages: "Machine Learning (cs.LG)".
TITLED = re.compile(r"\s\(([a-z-]+(?:\.[a-z-]+)?)\)", re.IGNORECASE)

#: Names that can be harvested: those of new papers.
HARVESTED = {*ARCHIVES, *CATEGORIES, *ALIASES}


def canonical(category: str) -> str:
    """Return the canonical name of a category. Unknown names stay."""
    return ALIASES.get(category) or CLOSED.get(category) or category


def canonical_names(categories: list[str]) -> list[str]:
    """Return the categories by their canonical names, each once, in their order."""
    return list(dict.fromkeys(map(canonical, categories)))


def category_named(text: str) -> str:
    """Return the category with this name, such as "cs.lg", or an empty string."""
    return canonical(NAMES.get(text.strip().lower(), ""))


def checked_names(names: list[str]) -> list[str]:
    """Return the archives and categories, each once. Raises ValueError for an unknown one."""
    names = list(filter(None, map(str.strip, names)))
    for name in names:
        if name not in HARVESTED:
            suggestion = nearest_name(name)
            examples = "they are like cs.LG, and archives like cs."
            hint = f"did you mean {suggestion}?" if suggestion else examples
            raise ValueError(f"{name} is not an arXiv category: {hint}")
    return list(dict.fromkeys(names))


def categories_named(text: str) -> tuple[str, ...]:
    """Return the categories that a text names, by their canonical names. See `category_names`."""
    return tuple(canonical_names([*category_names(text)]))


def category_names(text: str) -> tuple[str, ...]:
    """Return the categories that a text names: a category, an archive, or a list of such names.

    Else returns an empty tuple.

    >>> category_names("cs.lg"), category_names("eess")
    (('cs.LG',), ('eess.AS', 'eess.IV', 'eess.SP', 'eess.SY'))
    >>> category_names("cs.LG, stat.ML"), category_names("cs.LG, bread")
    (('cs.LG', 'stat.ML'), ())
    >>> category_names("arXiv:cs.CL"), category_names("Machine Learning (cs.LG)")
    (('cs.CL',), ('cs.LG',))
    >>> category_names("q-fin.EC"), categories_named("q-fin.EC")
    (('q-fin.EC',), ('econ.GN',))
    """
    title_matches = [*TITLED.finditer(text)] if "(" in text else []  # Called for each topic.
    for title_match in reversed(title_matches):  # They have commas.
        name = CATEGORIES.get(category_named(title_match[1]), "")
        prefix = text[: title_match.start()]
        if name and prefix.lower().endswith(name.lower()):
            text = prefix[: -len(name)] + title_match[1] + text[title_match.end() :]
    names = [PREFIX.sub("", name) for name in SEPARATOR.split(text.strip()) if name]
    categories = [_categories_of(name) for name in names]
    return tuple(dict.fromkeys(chain.from_iterable(categories))) if all(categories) else ()


def _categories_of(name: str) -> tuple[str, ...]:
    archive = name.lower()
    if archive in NO_WORDS:
        return tuple(name for name in CATEGORIES if archive_of(name) == archive)
    return (NAMES[archive],) if archive in NAMES else ()


def nearest_name(text: str) -> str:
    """Return the archive or category with the most similar name, or an empty string.

    >>> nearest("cs.lg"), nearest("cmp-lg"), nearest("quant-phy"), nearest("bread")
    ('cs.LG', 'cs.CL', 'quant-ph', '')
    """
    names = {name.lower(): name for name in HARVESTED}
    matches = get_close_matches(text.lower(), sorted(names), n=1)
    return CLOSED.get(text.lower()) or (names[matches[0]] if matches else "")


def archive_of(category: str) -> str:
    """Return the archive of a category: `cs` for cs.LG, `hep-th` for hep-th."""
    return category.partition(".")[0]


def group_of(category: str) -> str:
    """Return the group of a category's archive: `physics` for hep-th."""
    archive = archive_of(category)
    return archive if archive in GROUPS else "physics"


#: The categories that are topics, each with the topic's name, and its group: the archive, or the
#: archive's group if the archive is a single category.
TOPICS = {
    category: (
        f"{category}: {title}",
        ARCHIVES[group_of(category) if category in ARCHIVES else archive_of(category)],
    )
    for category, title in CATEGORIES.items()
    if canonical(category) == category
}
