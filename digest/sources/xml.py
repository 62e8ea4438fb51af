"""Parse untrusted XML: without DTD and custom entities, and with a limit on nesting."""

import re
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from digest.sources.base import MalformedFeed
from digest.sources.records import BadRecord

MAX_DEPTH = 40
#: A DTD stands before the root element.
DTD = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)
#: Replaces bytes that are no UTF-8. A noncharacter of Unicode, which no text contains.
BROKEN = "\ufdd0"
#: Invalid XML that some sources send: control characters, references to them, a lone "&" (as in
#: AT&T), and HTML entities.
FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
AMPERSAND = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)(?:#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,9}));)?")


def parse(body: bytes) -> Element:
    """Return the root element. Raises MalformedFeed.

    Bytes that are no UTF-8 become BROKEN, for which `text` raises BadRecord.
    """
    if body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise MalformedFeed("a web page came instead of XML")
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode(errors="replace").replace("\ufffd", BROKEN).encode()
    try:
        try:
            return _tree(body)
        except ParseError:  # Again, without invalid characters.
            return _tree(AMPERSAND.sub(_text_of, FORBIDDEN.sub(b" ", body)))
    except ParseError as error:
        raise MalformedFeed(f"the XML is broken: {error}") from None


def text(parent: Element, path: str) -> str:
    """Return the text of a child, or an empty string. Raises BadRecord if it is not UTF-8."""
    child = parent.find(path)
    if child is None:
        return ""
    content = "".join(child.itertext())
    if BROKEN in content:
        raise BadRecord("its text is not UTF-8")
    return content


def _tree(body):
    if DTD.match(body):
        raise MalformedFeed("the XML brings a DTD or entities of its own")
    parser = XMLParser(target=_ShallowTree(), encoding="utf-8")  # noqa: S314, without a DTD
    parser.feed(body)
    return parser.close()


def _text_of(match):
    if match[0] == b"&":
        return b"&amp;"
    code = int(match[1], 16) if match[1] else int(match[2])
    is_character = code in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code < 0xFFFE
    return match[0] if is_character or 0x10000 <= code <= 0x10FFFF else b" "


class _ShallowTree(TreeBuilder):
    depth = 0

    def start(self, tag, attrs):
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise MalformedFeed(f"the XML is nested more than {MAX_DEPTH} deep")
        return super().start(tag, attrs)

    def end(self, tag):
        self.depth -= 1
        return super().end(tag)
