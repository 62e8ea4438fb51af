"""Render digests as emails and channel messages.

An email is made of fragments that many emails share, joined with a subscriber's own lines.
`digest.letters.letter_data` reads the data of many emails at once. Rendering asks nothing of the
database.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from functools import cache, lru_cache, partial
from itertools import accumulate, batched, groupby
from typing import NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from digest import wording
from digest.channels import formats
from digest.letters import fragments
from digest.letters.fragments import Density
from digest.letters.letter_data import LetterData, digests_of, load
from digest.models import Digest, Pick
from digest.wording import reason_of
from subscriptions.delivery.verp import unsubscribe_address
from subscriptions.hooks import COMPOSE_BATCH_SIZE, without_frames
from subscriptions.mail import render as mail
from subscriptions.mail.byte_templates import (
    EncodedBytes,
    encode_token,
    encode_url,
    html_line,
    line_slot,
    text_line,
    token_slot,
)
from subscriptions.mail.plaintext import shortened
from subscriptions.models import Letter, Subscriber
from subscriptions.security.tokens import short_token
from subscriptions.security.tokens import tokens as link_tokens

#: Bytes of the papers and news in HTML. Gmail cuts an email off at 102,000, and with it the link to
#: unsubscribe. 80,000 are safe, of which the frame and its lines take ten at most.
MAX_PAPERS_SIZE = 70_000
#: From spacious to dense. A digest gets the first that stays below MAX_PAPERS_SIZE.
DENSITIES = [
    Density(),
    Density(is_tight=True),
    Density(title=120, relatives=0, is_tight=True, has_summary=False),
]
MAX_CHANNEL_TITLE = 200  # Columns.
NEXT_LINE, BLANK_LINE = b"\r\n", b"\r\n\r\n"


def compose(letters: Sequence[Letter], now) -> Iterator[mail.Content | Exception]:
    """Return an iterator over the content of each letter, or the error that prevents it.

    All data is read now. Each letter is rendered when the iterator reaches it.
    """
    return _render_batches(load_each(letters))


def _render_batches(letters):
    shared_headers = cache(SharedHeaders.of)
    for batch in batched(letters, COMPOSE_BATCH_SIZE):
        contents = None
        with suppress(Exception):  # At least one letter can't be rendered.
            contents = render_all(list(map(_checked, batch)), shared_headers)
        # By now, nothing holds the exception: it may hold all memory.
        yield from contents or [_render_alone(letter, shared_headers) for letter in batch]


def _render_alone(letter, shared) -> mail.Content | Exception:
    try:
        return render(_checked(letter), shared)
    except Exception as error:
        return without_frames(error)


def _checked(letter: LetterData | Exception) -> LetterData:
    """Return the data of a letter that can be rendered. Raises what prevents that."""
    if isinstance(letter, Exception):
        raise letter
    is_empty = letter.kind == Letter.Kind.DIGEST and not letter.picks
    if is_empty and not letter.subscriber.wants_quiet_days:
        raise mail.NoContent("its papers are gone")
    return letter


def preview(digest: Digest, picks: Sequence[Pick], kind: str = "digest") -> mail.Content:
    """Return the email with these picks, which need not be stored."""
    (letter,) = load([digest], kind, {digest.subscriber_id: picks})
    return render(letter)


def load_each(letters: Sequence[Letter]) -> list[LetterData | Exception]:
    """Return the data of each letter, or the error in reading it.

    The letters are read together; after an error, each alone, so that a bad row costs one letter.
    """
    try:
        digests = digests_of(letters)
        data = dict(zip(digests, load(list(digests.values()), letters[0].kind), strict=True))
    except (OperationalError, InterfaceError) as error:  # The database is away, for all letters.
        return [error] * len(letters)
    except Exception as error:
        if len(letters) == 1:
            return [error]
        return [data for letter in letters for data in load_each([letter])]
    missing = Digest.DoesNotExist("its digest is gone")
    return [data.get(letter.id, missing) for letter in letters]


# ---- Rendering


class SharedHeaders(NamedTuple):
    """What the digests of one day in one language share.

    Attributes:
        site: the language and what the templates say of this installation.
        headers_before, headers_after: those before and after List-Unsubscribe.
    """

    site: fragments.LetterSite
    headers_before: tuple
    headers_after: tuple

    @classmethod
    def of(cls, language: str, day: date) -> "SharedHeaders":
        headers = mail.headers("digest", campaign=f"{day:%Y%m%d}", language=language)
        names = [name for name, _ in headers]
        position = names.index("List-Unsubscribe") if settings.SITE_URL else len(names)
        return cls(fragments.letter_site(language), headers[:position], headers[position + 1 :])

    def headers(self, tokens: dict[str, str], subscriber: Subscriber) -> tuple:
        if not settings.SITE_URL:
            return self.headers_before
        url = _address("unsubscribe", tokens["unsubscribe"])
        value = mail.list_unsubscribe(url, unsubscribe_address(subscriber))
        return *self.headers_before, ("List-Unsubscribe", value), *self.headers_after


def render(
    letter: LetterData, shared: Callable[[str, date], SharedHeaders] = SharedHeaders.of
) -> mail.Content:
    """Return the email, in the subscriber's language. `shared` may be a cached SharedHeaders.of."""
    (content,) = render_all([letter], shared)
    return content


def render_all(
    letters: Sequence[LetterData], shared: Callable[[str, date], SharedHeaders]
) -> list[mail.Content]:
    """Return the emails or the posts, all of one kind, each in its subscriber's language.

    Each step is done for all letters before the next: see hooks.COMPOSE_BATCH_SIZE.
    """
    contents: list[mail.Content] = []
    for language, members in groupby(letters, lambda letter: letter.language):
        group = list(members)
        with translation.override(language):
            if group[0].subscriber.channel:
                contents += map(_render_for_channel, group)
                continue
            tokens = tokens_of(group)
            if group[0].kind == "welcome":
                contents += map(_render_welcome, group, tokens)
                continue
            all_lines = [lines_of(letter) for letter in group]
            all_headers = [shared(language, letter.digest.day) for letter in group]
            sites = [headers.site for headers in all_headers]
            parts = list(map(_render_parts, group, all_lines, tokens, sites))
            contents += [
                mail.Content(
                    *(lines["subject"], text, html, headers.headers(token, letter.subscriber))
                )
                for letter, lines, (text, html), headers, token in zip(
                    group, all_lines, parts, all_headers, tokens, strict=True
                )
            ]
    return contents


def lines_of(letter: LetterData) -> dict[str, str]:
    """Return the lines of a digest that are the subscriber's own, by their names in the templates.

    The subscriber's language must be active.
    """
    format_line = partial(_line, letter.language)
    digest, picks, subscriber = letter.digest, letter.picks, letter.subscriber
    lines = {"because": _footer_reason(letter)}
    if picks:
        first_paper, *next_papers = [pick.paper for pick in picks[:4]]
        titles = tuple([wording.title(paper) for paper in next_papers])
        preview_texts = titles or (wording.summary(first_paper),)
        lines["subject"] = format_line(wording.subject, wording.title(first_paper), len(picks) - 1)
        counts = [(heading, len(members)) for heading, members in letter.sections]
        lines["headline"] = format_line(wording.headline, len(picks), digest.considered)
        lines["overview"] = format_line(wording.overview, tuple(counts))
        lines["preheader"] = wording.preheader(lines["headline"], lines["overview"], preview_texts)
        if letter.is_first and settings.SITE_URL:
            schedule = subscriber.hour, subscriber.timezone, subscriber.is_daily
            lines["welcome"] = format_line(wording.welcome, settings.SITE_NAME, *schedule)
        if digest.since:
            days = (digest.day - digest.since).days
            lines["caught_up"] = format_line(wording.catchup_text, days, digest.considered)
    else:
        lines["subject"] = lines["headline"] = format_line(wording.quiet_subject)
        lines["quiet"] = format_line(wording.empty_text, digest.considered, tuple(letter.topics))
        lines["preheader"] = lines["quiet"]
    return {name: line for name, line in lines.items() if line}


def _footer_reason(letter):
    subscriber = letter.subscriber
    if not settings.SITE_URL:
        return _("Edit your interests in %s") % settings.INTERESTS_FILE
    if subscriber.confirmed_at is None:
        return ""
    day = subscriber.confirmed_at.astimezone(subscriber.zone).date()
    return _line(letter.language, wording.footer_reason, settings.SITE_NAME, day, letter.group)


@lru_cache(5_000)
def _line(language, line, *arguments):
    """Return a line of digest.wording in the active language. Many letters have equal lines."""
    return line(*arguments)


def tokens_of(letters: Sequence[LetterData]) -> list[dict[str, str]]:
    """Return the tokens of each letter's links, by purpose."""
    subscribers = [(data.subscriber.public_id, data.subscriber.moved_at) for data in letters]
    tokens = link_tokens(("preferences", "unsubscribe"), subscribers)
    indices = [index for index, letter in enumerate(letters) if letter.picks]
    if indices:
        digests = [(letters[index].digest.public_id, subscribers[index][1]) for index in indices]
        feedback = link_tokens(["feedback"], [subscribers[index] for index in indices])
        copies = link_tokens(["digest"], digests)
        for index, feedback_token, copy_token in zip(indices, feedback, copies, strict=True):
            tokens[index].update(feedback_token | copy_token)
    return tokens


def short_urls_of(letter: LetterData) -> dict[str, str]:
    """Return the addresses of the links in the text part, by the names in the templates."""
    subscriber, digest = letter.subscriber, letter.digest
    owners = {"preferences": subscriber}
    if letter.picks:
        owners |= {"digest": digest, "feedback": digest}
    return {
        f"short_{purpose}": f"{settings.SITE_URL}/e/"
        f"{short_token(purpose, owner.pk or 0, owner.public_id, subscriber.moved_at)}/"
        for purpose, owner in owners.items()
    }


def frame_context(
    lines: dict[str, str],
    tokens: dict[str, str],
    short_urls: dict[str, str],
    *,
    is_impersonal: bool,
) -> dict:
    """Return the context of a digest's templates, without its papers and news."""
    return {**lines, **_footer_urls(tokens), **short_urls, "is_impersonal": is_impersonal}


def _render_welcome(letter, tokens):
    """Return the first email of a subscriber for whom there are no papers yet."""
    context = {
        "clock": wording.clock(letter.subscriber.hour, letter.subscriber.timezone),
        "is_daily": letter.subscriber.is_daily,
        "topics": wording.names(letter.topics),
        "why": letter.empty_reason,
        "because": _footer_reason(letter),
        **_footer_urls(tokens),
        **short_urls_of(letter),
    }
    url = _address("unsubscribe", tokens["unsubscribe"])
    return mail.render("welcome", context, url, unsubscribe_address(letter.subscriber))


def _render_for_channel(letter) -> mail.Content:
    """Return a message to a channel: no link in it is for the channel alone."""
    subscriber, digest = letter.subscriber, letter.digest
    if letter.kind == "welcome":
        title = _("%s is connected to this channel.") % settings.SITE_NAME
        hour = wording.clock(subscriber.hour, subscriber.timezone)
        text = _("New papers will be posted at %s.") % hour
    else:
        lines = lines_of(letter)
        title = lines["headline"]
        names = ("quiet", "caught_up", "overview")
        text = " ".join(lines[name] for name in names if name in lines)

    def notes(pick):
        same_idea = wording.on_same_idea(len(pick.folded), 0)
        lines = wording.labelled_summary(pick.paper), reason_of(pick), same_idea
        return " · ".join(filter(None, lines))

    papers = [
        formats.MessagePaper(
            pick.paper_id,
            shortened(wording.title(pick.paper), MAX_CHANNEL_TITLE),
            settings.SITE_URL + pick.paper.get_absolute_url(),
            wording.authors(pick.paper.authors),
            notes(pick),
        )
        for pick in letter.picks
    ]
    message = formats.ChannelMessage(str(digest.public_id), title, str(digest.day), text, papers)
    payload = formats.payload(subscriber.channel, message)
    return mail.Content("", (), (), (), payload)


def paper_urls(tokens: dict[str, str], paper_id: str) -> dict[str, str]:
    """Return the addresses for feedback on a paper, and of its reasons. Without a site, none."""
    if not settings.SITE_URL:
        return {}
    query = f"?paper={quote(paper_id, safe='')}"
    return {
        "say_url": f"{_address('feedback', tokens['feedback'])}{query}",
        "why_url": f"{_address('why', tokens['preferences'])}{query}",
    }


def _render_parts(letter, lines, tokens, site) -> tuple[list[bytes], list[bytes]]:
    """Return the pieces of the text and HTML part: the frame, its lines and its fragments."""
    token_bytes = {purpose: encode_token(token) for purpose, token in tokens.items()}
    short_urls = short_urls_of(letter)
    parts, size = {}, MAX_PAPERS_SIZE
    if letter.news:
        news = fragments.news(letter.news, site)
        parts["news"] = [news.text.join({}), news.html.join({})]
        size -= news.html.size
    if letter.picks:
        feedback_url = short_urls.pop("short_feedback")
        parts["papers"], omitted_count = _join_papers(letter, size, token_bytes, feedback_url, site)
        if omitted_count:
            lines["left_out"] = _line(site.language, wording.left_out_text, omitted_count)
    names, purposes, short_names = (*lines, *parts), tuple(tokens), tuple(short_urls)

    def context():
        urls = {purpose: token_slot(purpose) for purpose in purposes}
        slots, links = ({n: line_slot(n) for n in group} for group in (names, short_names))
        return frame_context(slots, urls, links, is_impersonal=letter.is_impersonal)

    frame = fragments.frame("digest", site, (names, purposes, letter.is_impersonal), context)
    text_values = {"unsubscribe": token_bytes["unsubscribe"]}
    text_values |= {name: encode_url(url) for name, url in short_urls.items()}
    html_values = dict(token_bytes)
    for name, line in lines.items():
        if name in frame.text.hole_names:
            text_values[name] = text_line(line)
        if name in frame.html.hole_names:
            html_values[name] = html_line(line)
    for name, (text, html) in parts.items():
        text_values[name], html_values[name] = text, html
    return frame.text.join(text_values), frame.html.join(html_values)


def _join_papers(letter, max_size, tokens, feedback_url, site):
    """Return the pieces of the papers, for the text and the HTML part, and how many don't fit.

    They have the least dense form of which the HTML is small enough. `feedback_url` is the short
    address for feedback.
    """
    picks = letter.picks
    slots = {purpose: token_slot(purpose) for purpose in ("feedback", "preferences")}
    for density in DENSITIES:
        entries = fragments.entries(
            picks, density, site, letter.digest.day, partial(paper_urls, slots)
        )
        sizes = [paper.html.size + len(html_line(note)) for paper, note in entries]
        if sum(sizes) <= max_size:
            break
    else:
        entries = entries[: sum(size <= max_size for size in accumulate(sizes))]
    texts, htmls, unused_entries = [], [], iter(entries)
    for heading, section_picks in letter.sections:
        if heading:
            fragment = fragments.heading(site)
            texts += (BLANK_LINE, *fragment.text.join({"name": text_line(heading)}))
            htmls += (NEXT_LINE, *fragment.html.join({"name": html_line(heading)}))
        for pick, (paper, note) in zip(section_picks, unused_entries, strict=False):
            number = b"%d" % pick.position
            url = encode_url(f"{feedback_url}{pick.position}/", "    ")
            text_lines = {"note": text_line(note, "    "), "short_url": url}
            texts += (BLANK_LINE, number, *paper.text.join(text_lines))
            html_lines = {"number": EncodedBytes(number + b"."), "note": html_line(note), **tokens}
            htmls += (NEXT_LINE, *paper.html.join(html_lines))
    return (texts[1:], htmls[1:]), len(picks) - len(entries)


def _footer_urls(tokens):
    purposes = ("preferences", "unsubscribe", "digest")
    return {f"{name}_url": _address(name, tokens[name]) for name in purposes if name in tokens}


def _address(page, token):
    return f"{settings.SITE_URL}{_path(page).replace('TOKEN', token)}"


@cache
def _path(page):
    return reverse(page, args=["TOKEN"])
