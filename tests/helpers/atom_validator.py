"""Judges Atom feeds by the musts of RFC 4287 that apply to ours."""

from lxml import etree

NAMESPACES = {"a": "http://www.w3.org/2005/Atom", "re": "http://exslt.org/regular-expressions"}
KNOWN = "author category entry feed id link name published rights subtitle summary title updated"
DATE = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
#: What each of these finds is wrong.
FAULTS = {
    "no feed": "/*[not(self::a:feed)]",
    "an element that is missing or there twice": "(//a:feed | //a:entry)[count(a:id) != 1 or "
    "count(a:title) != 1 or count(a:updated) != 1 or count(a:subtitle | a:summary) > 1]",
    "an element that is unknown": f"//a:*[not(contains(' {KNOWN} ', concat(' ', name(), ' ')))]",
    "elements in a text": "(//a:title | //a:subtitle | //a:summary)/*",
    "an empty title or name": "(//a:title | //a:name)[not(normalize-space())]",
    "an entry without an author": "//a:entry[not(a:author | ../a:author)]",
    "an author without a name": "//a:author[count(a:name) != 1]",
    "no author": "/a:feed[not(.//a:author)]",
    "twice the same id": "//a:entry[a:id = preceding-sibling::a:entry/a:id]",
    "no absolute address": "(//a:id | //a:link/@href)[not(re:test(., '^(https?://|tag:)\\S+$'))]",
    "no date": f"(//a:updated | //a:published)[not(re:test(., '{DATE}'))]",
    "no link to itself": "/a:feed[not(a:link[@rel = 'self'])]",
    "an entry without a link": "//a:entry[not(a:link[not(@rel) or @rel = 'alternate'])]",
}


def faults(octets: bytes) -> list[str]:
    """Return what is wrong with a feed, nothing where it is valid. Raises XMLSyntaxError."""
    feed = etree.fromstring(octets, etree.XMLParser(resolve_entities=False, no_network=True))
    return [said for said, path in FAULTS.items() if feed.xpath(path, namespaces=NAMESPACES)]
