"""Judges Atom feeds by the musts of RFC 4287. Sections of it are in brackets."""

import re
from collections import Counter
from urllib.parse import urlsplit

from lxml import etree

ATOM = "http://www.w3.org/2005/Atom"
XHTML = "{http://www.w3.org/1999/xhtml}div"
#: How often an element may stand in another: at least, and at most.
ONE, MAYBE, ANY = (1, 1), (0, 1), (0, None)
FEED = {
    **dict.fromkeys(["id", "title", "updated"], ONE),
    **dict.fromkeys(["generator", "icon", "logo", "rights", "subtitle"], MAYBE),
    **dict.fromkeys(["author", "category", "contributor", "link", "entry"], ANY),
}
ENTRY = {
    **dict.fromkeys(["id", "title", "updated"], ONE),
    **dict.fromkeys(["content", "published", "rights", "source", "summary"], MAYBE),
    **dict.fromkeys(["author", "category", "contributor", "link"], ANY),
}
PERSON = {"name": ONE, "uri": MAYBE, "email": MAYBE}
TEXTS, DATES, ADDRESSES = (
    {"title", "subtitle", "summary", "rights", "content"},
    {"updated", "published"},
    {"id", "icon", "logo", "uri"},
)
DATE = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
)
MEDIA = re.compile(r"[\w.+-]+/[\w.+-]+")


def faults(octets: bytes) -> list[str]:
    """Return what is wrong with a feed, nothing where it is valid. Raises XMLSyntaxError."""
    feed = etree.fromstring(octets, etree.XMLParser(resolve_entities=False, no_network=True))
    if feed.tag != f"{{{ATOM}}}feed":
        return [f"the root is {feed.tag}"]
    entries = feed.findall(f"{{{ATOM}}}entry")
    found = [*_of_parts(feed, FEED), *_of_leaves(feed), *_of_links(feed)]
    for entry in entries:
        found += [*_of_parts(entry, ENTRY), *_of_links(entry)]
        if not _has(entry, "author") and not _has(feed, "author"):
            found.append("an entry without an author")  # [4.1.2]
        if not _has(entry, "content") and not _alternates(entry):
            found.append("an entry with neither content nor an alternate link")  # [4.1.2]
    if not entries and not _has(feed, "author"):
        found.append("no author at all")  # [4.1.1]
    twins = Counter((_text(entry, "id"), _text(entry, "updated")) for entry in entries)
    found += [f"twice the same id and moment: {twin}" for twin, n in twins.items() if n > 1]
    if not [one for one in _links(feed) if one.get("rel") == "self"]:
        found.append("no link to itself")  # [4.1.1], a should.
    return found


def _of_parts(element, allowed):
    """What stands in an element, and how often."""
    names = Counter(_name(child) for child in element if isinstance(child.tag, str))
    for name in names.keys() - allowed.keys():
        if not name.startswith("{"):
            yield f"{name} in {_name(element)}"
    for name, (least, most) in allowed.items():
        if names[name] < least or (most is not None and names[name] > most):
            yield f"{names[name]} × {name} in {_name(element)}"


def _of_leaves(feed):
    """What the elements hold that have no parts."""
    for element in feed.iter(f"{{{ATOM}}}*"):
        name, text = _name(element), (element.text or "").strip()
        if name in TEXTS:
            yield from _of_text(element, name)
        if name in DATES and not DATE.fullmatch(element.text or ""):
            yield f"{name} is no date: {text}"  # [3.3]
        if name in ADDRESSES and not _is_absolute(text):
            yield f"{name} is no absolute address: {text}"  # [4.2.6]
        if name in ("author", "contributor"):
            yield from _of_parts(element, PERSON)  # [3.2]
        if name == "category" and not element.get("term"):
            yield "a category without a term"  # [4.2.2.1]
        if name == "name" and not text:
            yield "a person without a name"


def _of_text(element, name):
    """Text constructs and text as content [3.1, 4.1.3]."""
    kind = element.get("type", "text")
    if kind == "xhtml" and [child.tag for child in element] != [XHTML]:
        yield f"{name} of type xhtml without its div"
    elif kind in ("text", "html") and len(element):
        yield f"elements in {name} of type {kind}"
    elif kind not in ("text", "html", "xhtml") and not (
        name == "content" and MEDIA.fullmatch(kind)
    ):
        yield f"{name} of type {kind}"
    if name == "title" and not "".join(element.itertext()).strip():
        yield "an empty title"


def _of_links(element):
    """Each has an address; of a kind, there is one alternate [4.2.7, 4.1.1]."""
    for link in _links(element):
        if not _is_absolute(link.get("href", "")):
            yield f"a link to {link.get('href')!r}"
        if link.get("type") and not MEDIA.fullmatch(link.get("type")):
            yield f"a link of type {link.get('type')}"
    kinds = Counter((one.get("type"), one.get("hreflang")) for one in _alternates(element))
    yield from (f"alternates of one kind: {kind}" for kind, n in kinds.items() if n > 1)


def _links(element):
    return element.findall(f"{{{ATOM}}}link")


def _alternates(element):
    return [one for one in _links(element) if one.get("rel", "alternate") == "alternate"]


def _has(element, name):
    return element.find(f"{{{ATOM}}}{name}") is not None


def _text(element, name):
    return element.findtext(f"{{{ATOM}}}{name}")


def _name(element):
    """Return the name of an element, without the namespace where that is Atom's."""
    return element.tag.removeprefix(f"{{{ATOM}}}")


def _is_absolute(address):
    parts = urlsplit(address)
    is_http = parts.scheme in ("http", "https")
    return bool(parts.netloc if is_http else parts.scheme and parts.path) and " " not in address
