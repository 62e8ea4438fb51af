"""Judges Atom feeds by the musts of RFC 4287 that apply to ours."""

from lxml import etree

from tests.helpers import data_files

NAMESPACES = {"a": "http://www.w3.org/2005/Atom", "re": "http://exslt.org/regular-expressions"}
#: What is wrong, and the XPath that finds it.
FAULTS = data_files.load("atom_faults.json")


def faults(octets: bytes) -> list[str]:
    """Return what is wrong with a feed, nothing where it is valid. Raises XMLSyntaxError."""
    feed = etree.fromstring(octets, etree.XMLParser(resolve_entities=False, no_network=True))
    return [said for said, path in FAULTS.items() if feed.xpath(path, namespaces=NAMESPACES)]
