"""What publishers write into feeds and deposits: markup, and what stands beside the abstract.

A description is read by paragraphs. Those before and after the abstract are in the tables BEFORE
and AFTER; a named group is a field of the paper. Another layout takes one more line there.
"""

import html
import re

from digest.sources import records
from digest.sources.biorxiv import jats_text

MIN_WORDS = 6  # Of an abstract.
MAX_CITATION = 20  # Words of a text that has only journal, volume and pages.

UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]")  # Chinese and Japanese: about half a word.

# ---- Items that are no papers

#: By title or section.
FRONT_MATTER = re.compile(
    r"\W*(?:(?:issue information|editorial board|masthead|(?:front|back) matter|table of contents"
    r"|frontispiece"
    r"|(?:(?:inside|outside) )?(?:(?:back|front) )?cover(?: (?:feature|image|picture))?)"
    r"\b(?! (?!and\b|page\b)\w)"
    r"|(?:contents|editorial|news|in (?:this|the next) issue)\W*$"
    r"|.{0,200}\bcover and (?:front|back) matter\W*$"
    r"|(?:(?:author|editorial|publisher) )?(?:addendum|correction|corrigend(?:um|a)|errat(?:um|a)"
    r"|retraction)(?: note| notice)?(?:\W*$| ?:| (?:for|to)(?: ?:| ?[\"“'‘]))"
    r"|expression of concern\b)",
    re.IGNORECASE,
)
#: News have DOIs of their own kind.
NEWS_DOI = re.compile(r"10\.1038/d\d{5}-|10\.1126/science\.z")

# ---- Fields beside the description

#: Before titles: "[ASAP] ", "Atoms, Vol. 3, Pages 12: ".
BEFORE_TITLE = re.compile(r"\[ASAP\]\s*|[^:\n]{2,100}, Vol\. \d+, Pages? [^\s:]{1,30}: ")
#: After the name of a journal.
AFTER_JOURNAL = re.compile(
    r"\s*[,;|(]\s*(?:(?:vol(?:ume)?|issue|no|pp?|pages?|published|doi)\b|\d+\b).*",
    re.IGNORECASE | re.DOTALL,
)
#: Addresses that have the end of a DOI only, and the DOI.
ADDRESSES = [
    (re.compile(r".*\bnature\.com/articles/(s\d{5}-[\w-]+)"), r"10.1038/\1"),
    (re.compile(r"(?i:.*\bpubs\.rsc\.org/\S+/)(\w\d\w{2}\d{5}\w)\b"), r"10.1039/\1"),
]
#: The id of an article of Elsevier: S0092867421005310, or S0092-8674(21)00531-0.
PII = re.compile(r"(?:pii/|PII|\b(?=S))(S?\d{4}-?\d{3}[\dX]\(?\d\d\)?\d{5}-?[\dX])(?!\w)")
ET_AL = re.compile(r"(?<![\s,;])[\s,;]*+\b(?:et\.? ?al\b|and others$).*", re.IGNORECASE | re.DOTALL)


def paper_title(markup: str, section: str = "") -> str:
    """Return the title of a paper, or an empty string for front matter, corrections and news.

    Raises BadRecord if there is no title.
    """
    title = records.clean(strip_tags(markup), records.MAX_TITLE)
    title = BEFORE_TITLE.sub("", title, count=1)
    if any(map(FRONT_MATTER.match, (title, section))):
        return ""
    if not re.search(r"[^\W\d_]", title):
        raise records.BadRecord("it has no title")
    return title


def journal(text: str | None, title: str) -> str:
    """Return the name of a journal, or an empty string if it repeats the title or is none."""
    name = AFTER_JOURNAL.sub("", records.clean(strip_tags(text or ""), 300))
    return "" if "://" in name or _words(name) == _words(title) else name


# ---- Descriptions

DOI = r"10\.\d{4,9}/[^\s?#&<>\"']{1,500}"
STATUS = (
    r"early ?(?:view|access)|(?:online )?ahead of (?:print|issue)|online (?:first|early|now)"
    r"|first ?view|advanced? (?:access|article|online publication)|just accepted|in press"
    r"|(?:un)?(?:accepted|corrected) (?:manuscript|proofs?|article)|latest articles|forthcoming"
    r"|(?:published|available)(?: online)?|e(?:pub|collection)"
)
#: What follows the journal in a citation.
CITED = (
    rf"(?:(?:https?://[\w.]+/)?\b(?P<doi>{DOI})|[\s\d.,;:()\[\]/|–—-]|\b[A-Za-z]{{1,3}}\d+[A-Za-z]?\b"
    r"|\b(?i:vol(?:ume)?|iss(?:ue)?|no|pages?|pp?|part|id|doi|art(?:icle)?"
    r"|(?:jan|febr?)(?:uary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|(?:sept?|octo?|nov|dec)(?:em)?(?:ber)?|spring|summer|autumn|fall|winter"
    rf"|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?|{STATUS})\b)*+"
)
#: What it has besides numbers, so that no sentence is one.
IS_CITED = re.compile(
    rf"\b(?:vol(?:ume)?|issue|pages?|pp?)\b\.? ?\d|\b(?:{STATUS}|doi)\b|10\.\d{{4,9}}/|\d ?\(\d"
    r"|: ?\w?\d+ ?[-–] ?\w?\d",
    re.IGNORECASE,
)
CITATION = rf"(?=.{{0,400}}\Z).{{0,150}}?(?P<cited>{CITED})"
#: A word of a name, and what may stand between two.
WORD = r"[^\W\d_a-zß-ÿ][\w.'’‐·-]*+"
SMALL = r"(?:[Vv][ao]n|de[nrls]?|d[aiou]s?|l[ae]|e?l|t[eo]n|bin|ibn|al|y|e|zu[mr]?)"
NAME = rf"(?:{SMALL} ){{0,3}}{WORD}(?: (?:{SMALL} ){{0,3}}{WORD}){{0,5}}"
AND = r"(?:\s?[,;\n]\s*+(?:(?:and|&)\s)?|\s(?:and|&)\s)\s*+"
NAMES = rf"(?P<authors>{NAME}(?:{AND}{NAME})++(?:[\s,;]*et al)?[\s.,;]*)"
CAPITALS = (
    rf"{WORD}(?:,? (?:{WORD}|of|and|the|in|for|on|de|la|des|du|et|der|und|für|&|–|-)){{1,12}}"
)

#: Paragraphs before an abstract, …
BEFORE = [
    r"(?i:authors?|author\(s\))\s*:\s*(?P<authors>.+)",
    rf"(?:[Bb]y\s+)?{NAMES}",
    r"Source:\s*(?P<journal>.+)",
    r"Publication date:.*",
    rf"(?i:doi)\s*:?\s*(?P<doi>{DOI}).{{0,80}}",
    CITATION,
    rf"{CAPITALS}[\s,.]*\d{CITED}",
    CAPITALS,
]
#: … after it, …
AFTER = [
    CITATION.replace("?P<doi>", "?:"),  # It may be the one of data.
    r"\[[^\[\]]{5,200}\](?: Published\b.{0,40})?",
    rf"(?:PM(?:C|ID|CID)|DOI)\s*:(?:.{{0,200}}?(?P<doi>{DOI}))?.{{0,400}}",
    r"\W*(?:(?i:html|xml|pdf|epub|full[ -]?text|abstract|read more|view (?:article|abstract))\W*)+",
    r"(?i:key ?words?)\s*:.*",
    r"Expected final online publication date .*",
]
#: … and on both sides.
BOTH_SIDES = [
    r"(?:©|\([cC]\)|Copyright|All rights reserved|The content of this RSS|To cite this article).*",
    r"(?:\W*Open Access\W*)?This (?:article|work|paper) is (?:open|licen|distrib|protected).*",
    r"No abstract (?:is )?available.{0,40}",
]
BEFORE_ABSTRACT, AFTER_ABSTRACT = (
    [re.compile(pattern, re.DOTALL) for pattern in table + BOTH_SIDES] for table in (BEFORE, AFTER)
)
IS_HEADING = re.compile(r"(?:ABSTRACT|Abstract)\s*(?:[:.]|\Z)")
#: Where a description without tags has lost the end of a paragraph.
LOST_BREAK = re.compile(
    r"Published online: [^;\n]{1,40}; doi:\S+|\s(?=(?:Source|Author\(s\)): )"
    r"|\s(?=Expected final online publication date )"
    r"|\s(?=\[[A-Z][^\[\]\d]{1,60}\d[^\[\]]{0,60}\](?: Published [\w ,]{1,40})?\s*\Z)"
)
CITES = re.compile(r"\b(?:volume|vol|issue|pages?|pp|early ?view|ahead of print)\b", re.IGNORECASE)


# ---- Markup

TEX = re.compile(r"<(?:\w+:)?tex-math\b.{0,3000}?</(?:\w+:)?tex-math>", re.DOTALL)
SPACES = re.compile(r"\s+")
HEADING_END = re.compile(r"(?:[:.]|(?<![\s:.]))\s*+</(?:\w+:)?(?:h[1-6]|title)>")
BLOCK = re.compile(
    r"</?(?:\w+:)?(?:br|break|blockquote|d[dlt]|disp-formula|div|h[1-6]|hr|label|li|list|list-item|[ou]l"
    r"|p|sec|section|table|t[dhr]|title)\b(?!-)[^<>]*>"
)
TAG = r"</?[A-Za-z][\w:-]*(?:\s+[\w:-]+=(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))*\s*/?>"
TAGS = re.compile(rf"[ \n]?(?:{TAG}[ \n]?)+")
ANY_TAG = re.compile(r"<[^<>]*>")
OF_MATHS = re.compile(r"(?:\s|</?(?:\w+:)?m(?!ath\b|\w*:)\w+[^<>]*>)+")
OPENS_SCRIPT = re.compile(r"<(?:\w+:)?su[bp]\b[^<>]*>\s?\Z")
#: A sub- or superscript that belongs to what is before it, not after it as in an isotope.
SCRIPT = re.compile(r"[^<>]*</(?:\w+:)?su[bp]>(?![A-Za-z])")
#: Between these, a line break at a tag is no space.
NO_SPACE = re.compile(r"(?:[(\[{/\f]|\w-)\0|\0(?:[])},.;:/%′’\f]|-\w)")
STYLE = r"(?:\w+:)?(?:a|b|bold|em|ext-link|i|inline-formula|italic|math|sc|strong|styled-content)\b"
STYLES = re.compile(rf"</?(?:{STYLE}|(?:\w+:)?su[bp]\b)")
#: An element directly after a word: the text has lost spaces.
LOST_SPACE = re.compile(
    rf"(?:[^\W\d_][a-zß-ÿ]<{STYLE}[^<>]*>|[a-zß-ÿ)][.,;:]<{STYLE}[^<>]*>[^\W_])[^\W_]"
)
LETTERS_BEFORE, LETTERS = re.compile(r"[^\W\d_]*\Z"), re.compile(r"[^\W\d_]*")
SHORT_WORD = re.compile(
    r"(?:and|are|as|at|but|by|for|from|in|is|of|on|or|than|that|the|to|was|were|where|which|with)\Z"
)


def read(markup: str, title: str = "") -> tuple[str, dict[str, str]]:
    """Return the abstract in a description, and the fields authors, doi and journal beside it."""
    text = strip_tags(markup[: 4 * records.MAX_ABSTRACT])
    text = LOST_BREAK.sub("\\g<0>\f", text if "\f" in text else text.replace("\n", "\f"))
    paragraphs = list(filter(None, map(str.strip, html.unescape(text).split("\f"))))
    heading = next((n for n, part in enumerate(paragraphs) if IS_HEADING.match(part)), 0)
    fields: dict[str, str] = {}
    for part in paragraphs[:heading]:
        fields = (_fields(part, BEFORE_ABSTRACT, title) or {}) | fields
    paragraphs = paragraphs[heading:]
    for rules in (BEFORE_ABSTRACT, AFTER_ABSTRACT):
        paragraphs.reverse()
        while paragraphs and (part_fields := _fields(paragraphs[-1], rules, title)) is not None:
            fields = part_fields | fields
            paragraphs.pop()
    text = "\n".join(" ".join(part.split()) for part in paragraphs)
    text = records.clean(jats_text.clean_abstract(text), records.MAX_ABSTRACT)
    word_count = len(text.split()) + len(UNSPACED.findall(text)) // 2
    is_missing = word_count < MIN_WORDS or (word_count < MAX_CITATION and CITES.search(text))
    return "" if is_missing or _words(text) == _words(title) else text, fields


def _fields(paragraph, rules, title) -> dict[str, str] | None:
    """Return the fields in a paragraph beside the abstract, or None if it is of the abstract."""
    for match in filter(None, (rule.fullmatch(paragraph) for rule in rules)):
        values = {name: value for name, value in match.groupdict().items() if value is not None}
        if IS_CITED.search(values.pop("cited", "doi")):
            return values
    return {} if _words(BEFORE_TITLE.sub("", paragraph, count=1)) in ([], _words(title)) else None


def _words(text) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def strip_tags(markup: str) -> str:
    """Return a text without the tags of HTML, MathML and JATS.

    Headings end with a colon, paragraphs with a form feed.
    """
    markup = SPACES.sub(lambda space: "\n" if "\n" in space[0] else " ", TEX.sub("", markup))
    markup = BLOCK.sub("\f", HEADING_END.sub(": ", markup))
    loses_spaces = bool(LOST_SPACE.search(markup))
    return TAGS.sub(lambda tags: _space(tags, loses_spaces), markup).strip()


def _space(match, loses_spaces) -> str:
    """Return what replaces tags within a paragraph: a space, if they part two words.

    Some deposits are indented, so that each tag has a line, others have lost the spaces at tags.
    """
    tags, start, end = match[0], match.start(), match.end()
    preceding, following = match.string[max(start - 30, 0) : start], match.string[end : end + 60]
    if OF_MATHS.fullmatch(tags):
        return ""
    whitespace = ANY_TAG.sub("", tags)
    if " " in whitespace:
        return " "
    opens_script = OPENS_SCRIPT.search(tags)
    if whitespace:
        is_attached = opens_script and SCRIPT.match(following)
        is_joined = is_attached or NO_SPACE.search(f"{preceding}\0{following}")
        return "" if is_joined else "\n"
    if opens_script or not STYLES.search(tags):
        return ""
    word_end, word_start = LETTERS_BEFORE.search(preceding)[0], LETTERS.match(following)[0]
    is_word, after_number = len(word_start) > 1, re.search(r"\d\Z", preceding)
    if tags.rpartition("<")[2].startswith("/"):
        after_number = after_number or ("sup>" in tags and re.search(r"[+−–-]\Z", preceding))
        lost_space = after_number or len(word_end) > 1 or preceding[-1:] in ".,;:)"
        needs_space = SHORT_WORD.match(word_start) or (loses_spaces and is_word and lost_space)
        needs_space = needs_space or (after_number and len(word_start) > 3 and word_start.islower())
    elif len(word_end) > 1:
        needs_space = word_start and word_end[-1].islower()
    else:
        lost_space = after_number or re.search(r"(?:\b[aA]|\))\Z", preceding)
        needs_space = is_word and (preceding[-1:] in ".,;:" or (loses_spaces and lost_space))
    return " " if needs_space else ""
