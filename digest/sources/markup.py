"""XML from outside, read within limits: no DTD, no entities of its own, no endless nesting."""

from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from digest.sources.plug import MalformedFeed
from digest.sources.records import BadRecord

MAX_DEPTH = 40
#: Stands for bytes that are no UTF-8. Unicode keeps it for such uses: no text holds it.
BROKEN = "\ufdd0"


def parse(body: bytes) -> Element:
    """Return the root element, or raise MalformedFeed.

    Bytes that are no UTF-8 don't cost the other records: `text` tells of those that hold some.
    """
    if body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise MalformedFeed("a web page came instead of XML")
    parser = DefusedXMLParser(target=_ShallowTree(), encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(_as_utf8(body))
        return parser.close()
    except ParseError as error:
        raise MalformedFeed(f"the XML is broken: {error}") from None
    except DefusedXmlException:
        raise MalformedFeed("the XML brings a DTD or entities of its own") from None


def text(parent: Element, path: str) -> str:
    """Return the text of a child, empty where there is none. Raise BadRecord if it's no text."""
    child = parent.find(path)
    if child is None:
        return ""
    found = "".join(child.itertext())
    if BROKEN in found:
        raise BadRecord("its text is not UTF-8")
    return found


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


def _as_utf8(body):
    try:
        body.decode()
    except UnicodeDecodeError:
        return body.decode(errors="replace").replace("\ufffd", BROKEN).encode()
    return body
