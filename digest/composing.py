"""A digest becomes a letter: blocks that many letters share, joined with what is the reader's own.

What they are made of is read first, for many letters at once (digest.materials); composing asks
nothing of the database.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import cache, lru_cache, partial
from itertools import accumulate, batched, groupby
from typing import NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.urls import reverse
from django.utils import translation

from digest import blocks, wording
from digest.blocks import Form
from digest.materials import Material, digests_of, gather
from digest.models import Digest, Pick
from subscriptions import links, mail
from subscriptions.models import Letter
from subscriptions.registry import TOGETHER, bare
from subscriptions.stencil import filled_token, hole, html_line, stand_in, text_line

#: Octets of a letter's papers and news in HTML. Gmail cuts a letter off at 102,000, and the link to
#: unsubscribe with it; 80,000 are safe, of which the frame and its lines take ten at most.
MAX_PAPERS = 70_000
#: From roomy to tight. A digest gets the first with which it stays below.
FORMS = [
    Form(),
    Form(is_tight=True),
    Form(title=120, relatives=1, is_tight=True),
    Form(title=120, relatives=0, is_tight=True, has_summary=False),
]
#: What the links are for that each letter has.
READERS = ("preferences", "unsubscribe")
RECEIPT = ("day", "announced", "had", "is_verified")
NEXT_LINE, BLANK_LINE = b"\r\n", b"\r\n\r\n"


def compose(letters: Sequence[Letter], now) -> Iterator[mail.Content | Exception]:
    """Return what each letter says, or why it can't be written. Registered with the post office.

    All that they are made of is read now, and each is composed when it is asked for.
    """
    return _composed(gathered(letters))


def _composed(materials):
    issue = cache(Issue.of)
    for some in batched(materials, TOGETHER):
        yield from _together(some, issue) or [_alone(one, issue) for one in some]


def _together(materials, issue) -> list[mail.Content] | None:
    """Return what the letters say, or nothing where one of them can't be written."""
    try:
        for material in materials:
            _refuse(material)
        return contents(materials, issue)
    except Exception:
        return None


def _alone(material, issue) -> mail.Content | Exception:
    try:
        _refuse(material)
        return content(material, issue)
    except Exception as error:
        return bare(error)


def _refuse(material: Material | Exception) -> None:
    """Raise what kept us from reading it, or NothingToSay where it would be empty and unwanted."""
    if isinstance(material, Exception):
        raise material
    is_empty = material.kind == Letter.Kind.DIGEST and not material.picks
    if is_empty and not material.subscriber.wants_quiet_days:
        raise mail.NothingToSay("its papers are gone")


def preview(digest: Digest, picks: Sequence[Pick], kind: str = "digest") -> mail.Content:
    """Return the letter for these picks, whether or not they are stored."""
    (material,) = gather([digest], kind, {digest.subscriber_id: picks})
    return content(material)


def gathered(letters: Sequence[Letter]) -> list[Material | Exception]:
    """Return what the letters are made of, or what broke in reading it.

    They are read together, and where that breaks each alone, so that a bad row costs one letter.
    """
    try:
        digests = digests_of(letters)
        materials = dict(zip(digests, gather(list(digests.values()), letters[0].kind), strict=True))
    except (OperationalError, InterfaceError) as error:  # The database is away, for all alike.
        return [error] * len(letters)
    except Exception as error:
        if len(letters) == 1:
            return [error]
        return [one for letter in letters for one in gathered([letter])]
    gone = Digest.DoesNotExist("its digest is gone")
    return [materials.get(letter.id, gone) for letter in letters]


# ---- Composing


class Issue(NamedTuple):
    """What the digests of one day in one language share: where they are from, and their headers
    before and after the link to unsubscribe.
    """

    place: blocks.Place
    before: tuple
    after: tuple

    @classmethod
    def of(cls, language: str, day: date) -> "Issue":
        headers = mail.headers("digest", "", f"{day:%Y%m%d}", language)
        own = [name for name, _ in headers].index("List-Unsubscribe")
        return cls(blocks.place(language), headers[:own], headers[own + 1 :])

    def headers(self, tokens: dict[str, str]) -> tuple:
        url = _address("unsubscribe", tokens["unsubscribe"])
        return *self.before, ("List-Unsubscribe", f"<{url}>"), *self.after


def content(material: Material, issue: Callable[[str, date], Issue] = Issue.of) -> mail.Content:
    """Return the letter, in the reader's language. `issue` may know the day's, for many letters."""
    (letter,) = contents([material], issue)
    return letter


def contents(
    materials: Sequence[Material], issue: Callable[[str, date], Issue]
) -> list[mail.Content]:
    """Return the letters, all of one kind, each in its reader's language. See `content`."""
    made: list[mail.Content] = []
    for language, some in groupby(materials, lambda material: material.language):
        with translation.override(language):
            made += _in_one_language(list(some), issue)
    return made


def _in_one_language(materials, issue) -> list[mail.Content]:
    """Return the letters in the language that is active. Each step is done for all of them before
    the next.
    """
    tokens = tokens_of(materials)
    if materials[0].kind == "welcome":
        return list(map(_welcome, materials, tokens))
    lines = [lines_of(material) for material in materials]
    issues = [issue(material.language, material.digest.day) for material in materials]
    places = [one.place for one in issues]
    parts = list(map(_fill, materials, lines, tokens, places))
    headers = list(map(Issue.headers, issues, tokens))
    subjects = [own["subject"] for own in lines]
    ids = map(paper_ids, materials)
    columns = subjects, *zip(*parts, strict=True), headers, ids
    return [mail.Content(*one) for one in zip(*columns, strict=True)]


def paper_ids(material: Material) -> list[str]:
    """Return the ids of a digest's papers: those with a place, in order, then the folded ones."""
    folded = [paper.id for pick in material.picks for paper in pick.folded]
    return [pick.paper_id for pick in material.picks] + folded


def lines_of(material: Material) -> dict[str, str]:
    """Return the lines of a digest that are the reader's own, by the names of the templates.

    Her language is the active one.
    """
    say = partial(_said, material.language)
    digest = material.digest
    lines = {
        "day": say(wording.weekday, digest.day),
        "because": _because(material),
        "receipt": say(wording.receipt, *map(digest.receipt.get, RECEIPT))
        if digest.receipt
        else "",
    }
    if material.picks:
        lines |= _of_picks(material, say)
    else:
        lines["subject"] = say(wording.quiet_subject)
        lines["preheader"] = lines["quiet"] = say(
            wording.quiet, digest.considered, tuple(material.topics)
        )
    return {name: line for name, line in lines.items() if line}


def _of_picks(material, say) -> dict[str, str]:
    """Return the lines that only a digest with papers has."""
    digest, picks = material.digest, material.picks
    # Where not all names fit, those are said that brought something.
    brought = {pick.topic_name for pick in picks}
    topics = sorted(material.topics, key=lambda name: name not in brought)
    best, *others = [pick.paper for pick in picks[:4]]
    texts = tuple([paper.title for paper in others]) or (wording.summary(best),)
    lines = {
        "subject": say(wording.subject, best.title, len(picks) - 1),
        "preheader": wording.preheader(texts),
        "looked": say(wording.looked, len(picks), digest.considered, bool(topics)),
    }
    if topics:
        lines["looked"] = lines["looked"].replace("%s", wording.names(topics))
    if material.is_first:
        hers = material.subscriber
        clock = (hers.hour, hers.timezone, hers.is_daily)
        lines["welcome"] = say(wording.welcome, settings.SITE_NAME, *clock)
    if digest.since:
        away = (digest.day - digest.since).days
        lines["caught_up"] = say(wording.caught_up, away, digest.considered)
    return lines


def _because(material):
    subscriber = material.subscriber
    if subscriber.confirmed_at is None:
        return ""
    day = subscriber.confirmed_at.astimezone(subscriber.zone).date()
    return _said(material.language, wording.because, settings.SITE_NAME, day)


@lru_cache(5_000)
def _said(language, line, *of):
    """Return a line of digest.wording in the active language. Many letters have the same."""
    return line(*of)


def tokens_of(materials: Sequence[Material]) -> list[dict[str, str]]:
    """Return the tokens of each letter's links, by what they are for."""
    readers = [(one.subscriber.public_id, one.subscriber.moved_at) for one in materials]
    tokens = links.tokens(READERS, readers)
    some = [
        (own, (material.digest.public_id, material.subscriber.moved_at), reader)
        for own, material, reader in zip(tokens, materials, readers, strict=True)
        if material.picks
    ]
    if some:
        lists, digests, theirs = zip(*some, strict=True)
        feedback, copies = links.tokens(["feedback"], theirs), links.tokens(["digest"], digests)
        for own, said, copy in zip(lists, feedback, copies, strict=True):
            own.update(said | copy)
    return tokens


def frame_parts(lines: dict[str, str], tokens: dict[str, str], *, is_open: bool) -> dict:
    """Return what the templates of a digest get, besides its papers and news."""
    return {**lines, **_foot(tokens), "is_open": is_open}


def _welcome(material, tokens):
    unsubscribe_url = _address("unsubscribe", tokens["unsubscribe"])
    content = mail.render("welcome", welcome(material, tokens), unsubscribe_url)
    return replace(content, item_ids=paper_ids(material))


def welcome(material: Material, tokens: dict[str, str]) -> dict:
    """Return what the templates of a welcome without papers get."""
    return {
        "clock": wording.clock(material.subscriber.hour, material.subscriber.timezone),
        "is_daily": material.subscriber.is_daily,
        "topics": wording.names(material.topics),
        "because": _because(material),
        **_foot(tokens),
    }


def say_url(token: str, paper_id: str) -> str:
    """Return where something is said of a paper."""
    return f"{_address('feedback', token)}?paper={quote(paper_id, safe='')}"


def _fill(material, lines, tokens, place) -> tuple[list[bytes], list[bytes]]:
    """Return the pieces of both parts of the letter: the frame, with its lines and blocks."""
    filled = {purpose: filled_token(token) for purpose, token in tokens.items()}
    laid, room = {}, MAX_PAPERS
    if material.news:
        news = blocks.news(material.news, place)
        laid["news"] = [part.lay({}) for part in news]
        room -= news.html.size
    if material.picks:
        laid["papers"], left_out = _papers(material.picks, room, filled["feedback"], place)
        lines |= {"left_out": _said(place.language, wording.left_out, left_out)} if left_out else {}
    frame = _frame((*lines, *laid), tuple(tokens), material.is_open, place)
    texts, htmls = filled, dict(filled)
    for name, line in lines.items():
        if name in frame.text.names:
            texts[name] = text_line(line)
        if name in frame.html.names:
            htmls[name] = html_line(line)
    for name, (text, html) in laid.items():
        texts[name], htmls[name] = text, html
    return frame.text.lay(texts), frame.html.lay(htmls)


def _frame(names, purposes, is_open, place):
    """Return the frame with holes of these names, and stand-ins for the tokens."""

    def parts_with_holes():
        urls = {purpose: stand_in(purpose) for purpose in purposes}
        return frame_parts({name: hole(name) for name in names}, urls, is_open=is_open)

    return blocks.frame("digest", place, (names, purposes, is_open), parts_with_holes)


def _papers(picks, room, token, place):
    """Return the papers of both parts, laid, and for how many there is no room.

    Their links have this token for feedback. They are in the roomiest form of which the HTML is
    small enough.
    """
    for form in FORMS:
        entries = blocks.entries(picks, form, place, _say_url_with_stand_in)
        sizes = [entry.size for entry in entries]
        if sum(sizes) <= room:
            break
    else:
        fitting = sum(size <= room for size in accumulate(sizes))
        picks, entries = picks[:fitting], entries[:fitting]
    return _laid(picks, entries, token, place), len(sizes) - len(picks)


def _laid(picks, entries, token, place):
    texts, htmls, group = [], [], None
    for pick, entry in zip(picks, entries, strict=True):
        if (name := wording.group(pick.basis, pick.group)) != group:
            group, heading = name, blocks.heading(name, place)
            texts += (BLANK_LINE, *heading.text.lay({}))
            htmls += (NEXT_LINE, *heading.html.lay({}))
        number = b"%d" % pick.position
        before, reason = entry.text
        texts += (BLANK_LINE, number, before, reason, token.join(entry.say_text))
        head, middle, why = entry.html
        htmls += (NEXT_LINE, head, number, b".", middle, why, token.join(entry.say_html))
    return texts[1:], htmls[1:]


def _foot(tokens):
    """Return the addresses of the letter's foot, by the names of the templates."""
    purposes = ("preferences", "unsubscribe", "digest")
    return {f"{one}_url": _address(one, tokens[one]) for one in purposes if one in tokens}


def _say_url_with_stand_in(paper_id):
    return say_url(stand_in("feedback"), paper_id)


def _address(page, token):
    return f"{settings.SITE_URL}{_path(page).replace('TOKEN', token)}"


@cache
def _path(page):
    return reverse(page, args=["TOKEN"])
