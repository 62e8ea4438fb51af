"""A digest becomes a letter: blocks that many letters share, joined with what is the reader's own.

Reading comes first, for many letters at once and with a constant number of queries; composing asks
nothing of the database.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, groupby
from urllib.parse import quote

from django.conf import settings
from django.db.models import Min
from django.urls import reverse
from django.utils import translation

from digest import blocks, ledger, wording
from digest.blocks import Form
from digest.models import Digest, Observation, Paper, Pick
from subscriptions import links, mail
from subscriptions.models import TopicPreference
from subscriptions.stencil import hole, html_line, stand_in, text_line, with_tokens

#: Octets of a letter's papers and news in HTML. Gmail cuts a letter off at 102,000, and the link to
#: unsubscribe with it; 80,000 are safe, of which the frame and its lines take ten at most.
MAX_PAPERS = 70_000
#: From roomy to tight. A digest gets the first with which it stays below.
FORMS = [
    *(Form(columns) for columns in (420, 300, 200, 120, 60)),
    Form(60, is_tight=True),
    Form(60, title=120, relatives=1, is_tight=True),
    Form(0, title=120, relatives=0, is_tight=True),
]
NEXT_LINE, BLANK_LINE = b"\r\n", b"\r\n\r\n"


@dataclass
class Material:
    """All that a letter is made of. The picks are in the order of the letter."""

    digest: Digest
    kind: str = "digest"
    picks: list[Pick] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    is_first: bool = False
    news: list[dict] = field(default_factory=list)

    @property
    def subscriber(self):
        return self.digest.subscriber


def compose(letter, now):
    """Return what the letter of this digest says. Registered with the post office."""
    digest = Digest.objects.select_related("subscriber").get(letter=letter)
    (material,) = gather([digest], kind=letter.kind)
    is_empty = letter.kind == letter.Kind.DIGEST and not material.picks
    if is_empty and not digest.subscriber.wants_quiet_days:
        raise mail.NothingToSay("its papers are gone")
    return content(material)


def preview(digest: Digest, picks: Sequence[Pick], kind: str = "digest") -> mail.Content:
    """Return the letter for these picks, whether or not they are stored."""
    (material,) = gather([digest], kind, {digest.subscriber_id: picks})
    return content(material)


# ---- Reading


def gather(
    digests: Sequence[Digest], kind: str = "digest", picks: Mapping[int, Sequence] | None = None
) -> list[Material]:
    """Return what the letters of these digests, of one reader each, are made of.

    `picks` are by the reader's number, where they aren't those that are stored. Asks a constant
    number of queries, and two more for each reader who saved papers.
    """
    picks = _stored_picks(digests) if picks is None else picks
    _share_papers([pick for some in picks.values() for pick in some])
    topics, first_days = _topics(digests), _first_days(digests)
    savers = ledger.savers(digests)
    return [
        Material(
            digest=digest,
            kind=kind,
            picks=list(picks.get(digest.subscriber_id, ())),
            topics=topics[digest.subscriber_id],
            is_first=digest.day <= first_days.get(digest.subscriber_id, digest.day),
            news=_news(digest) if digest.subscriber_id in savers else [],
        )
        for digest in digests
    ]


def _news(digest):
    """Return what happened to the papers that she saved, in her language."""
    with translation.override(digest.subscriber.letter_language):
        return [wording.told(event) for event in ledger.news_of_saved(digest.subscriber, digest)]


def _stored_picks(digests):
    picks = defaultdict(list)
    for pick in Pick.objects.filter(digest__in=digests).whole():
        picks[pick.subscriber_id].append(pick)
    return picks


def _share_papers(picks):
    """Let picks of one paper share its row, with the stars that it had when last looked at."""
    wanted = {pick.paper_id for pick in picks}
    papers = Paper.objects.in_bulk(wanted)
    seen = Observation.objects.filter(paper__in=wanted, github_stars__isnull=False)
    for paper_id, stars in seen.order_by("day").values_list("paper_id", "github_stars"):
        papers[paper_id].stars = stars
    for pick in picks:
        pick.paper = papers.get(pick.paper_id, pick.paper)


def _topics(digests):
    """Return the names of the topics that each reader follows."""
    followed = TopicPreference.objects.filter(
        subscriber__in=[digest.subscriber_id for digest in digests],
        stance=TopicPreference.Stance.FOLLOW,
    )
    topics = defaultdict(list)
    names = followed.order_by("pk").values_list("subscriber_id", "topic__name")
    for subscriber_id, name in names:
        topics[subscriber_id].append(name)
    return topics


def _first_days(digests):
    """Return the first day of which each reader heard anything."""
    told = Digest.objects.told().filter(subscriber__in=[one.subscriber_id for one in digests])
    firsts = told.order_by().values("subscriber_id").annotate(first=Min("day"))
    return dict(firsts.values_list("subscriber_id", "first"))


# ---- Composing


def content(material: Material) -> mail.Content:
    """Return the letter, in the reader's language."""
    with translation.override(material.subscriber.letter_language):
        tokens = tokens_of(material)
        unsubscribe_url = _address("unsubscribe", tokens["unsubscribe"])
        if material.kind == "welcome":
            return mail.render("welcome", welcome(material, tokens), unsubscribe_url)
        lines = lines_of(material)
        text, html = _fill(material, lines, tokens)
        campaign = f"{material.digest.day:%Y%m%d}"
        return mail.Content(
            lines["subject"], text, html, mail.headers("digest", unsubscribe_url, campaign)
        )


def lines_of(material: Material) -> dict[str, str]:
    """Return the lines of a digest that are the reader's own, by the names of the templates."""
    digest, picks = material.digest, material.picks
    lines = {
        "subject": wording.subject(picks),
        "preheader": wording.preheader(picks)
        if picks
        else wording.quiet(digest.considered, material.topics),
        "day": wording.weekday(digest.day),
        "because": wording.because(material.subscriber),
        "welcome": wording.welcome(material.subscriber) if material.is_first and picks else "",
        "quiet": "" if picks else wording.quiet(digest.considered, material.topics),
        "looked": wording.looked(len(picks), digest.considered, material.topics) if picks else "",
        "receipt": wording.receipt(digest.receipt) if digest.receipt else "",
    }
    return {name: line for name, line in lines.items() if line}


def tokens_of(material: Material) -> dict[str, str]:
    """Return the tokens of the letter's links, by what they are for."""
    reader = material.subscriber.public_id
    tokens = {purpose: links.token(purpose, reader) for purpose in ("preferences", "unsubscribe")}
    if material.picks:
        tokens["feedback"] = links.token("feedback", reader)
        tokens["digest"] = links.token("digest", material.digest.public_id)
    return tokens


def frame_parts(lines: dict[str, str], tokens: dict[str, str], *, is_open: bool) -> dict:
    """Return what the templates of a digest get, besides its papers and news."""
    return {**lines, **_foot(tokens), "is_open": is_open}


def welcome(material: Material, tokens: dict[str, str]) -> dict:
    """Return what the templates of a welcome without papers get."""
    return {
        "clock": wording.clock(material.subscriber),
        "topics": wording.names(material.topics),
        "because": wording.because(material.subscriber),
        **_foot(tokens),
    }


def groups(placed: Iterable[tuple]) -> list[tuple[str, list[tuple]]]:
    """Return tuples that begin with a pick, under the headings under which these stand."""
    found = groupby(placed, lambda one: wording.group(one[0].basis))
    return [(wording.heading(name), list(some)) for name, some in found]


def say_url(token: str, paper_id: str) -> str:
    """Return where something is said of a paper."""
    return f"{_address('feedback', token)}?paper={quote(paper_id, safe='')}"


def web_copy_url(digest: Digest) -> str:
    """Return where the letter stands on the web, for who has its link."""
    return _address("digest", links.token("digest", digest.public_id))


def _fill(material, lines, tokens) -> tuple[bytes, bytes]:
    """Return both parts of the letter: the frame, with its lines and blocks."""
    laid, room = {}, MAX_PAPERS
    if material.news:
        news = blocks.news(material.news)
        laid["news"] = [part.lay({}) for part in news]
        room -= news.html.size
    if material.picks:
        laid["papers"], left_out = _papers(material.picks, room)
        lines |= {"left_out": wording.left_out(left_out)} if left_out else {}
    frame = _frame((*lines, *laid), tuple(tokens), is_open=not material.topics)
    texts = {name: text_line(lines[name]) for _, name in frame.text.pairs if name in lines}
    htmls = {name: html_line(lines[name]) for _, name in frame.html.pairs if name in lines}
    for name, (text, html) in laid.items():
        texts[name], htmls[name] = text, html
    text, html = b"".join(frame.text.lay(texts)), b"".join(frame.html.lay(htmls))
    return with_tokens(text, tokens), with_tokens(html, tokens)


def _frame(names, purposes, is_open):
    """Return the frame with holes of these names, and stand-ins for the tokens."""

    def parts_with_holes():
        urls = {purpose: stand_in(purpose) for purpose in purposes}
        return frame_parts({name: hole(name) for name in names}, urls, is_open=is_open)

    return blocks.frame("digest", (names, purposes, is_open), parts_with_holes)


def _papers(picks, room):
    """Return the papers of both parts, laid, and for how many there is no room.

    They are in the roomiest form of which the HTML is small enough.
    """
    for form in FORMS:
        entries = blocks.entries(picks, form, _say_url_with_stand_in)
        sizes = [entry.size for entry in entries]
        if sum(sizes) <= room:
            break
    else:
        fitting = sum(size <= room for size in accumulate(sizes))
        picks, entries = picks[:fitting], entries[:fitting]
    return _laid(zip(picks, entries, strict=True)), len(sizes) - len(picks)


def _laid(placed):
    texts, htmls = [], []
    for name, some in groups(placed):
        heading = blocks.heading(name)
        texts += (BLANK_LINE, *heading.text.lay({}))
        htmls += (NEXT_LINE, *heading.html.lay({}))
        for pick, entry in some:
            number = b"%d" % pick.position
            texts += (BLANK_LINE, number, *entry.text)
            htmls += (NEXT_LINE, entry.head, number, b".", *entry.tail)
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
