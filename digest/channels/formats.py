"""Messages to channels: a digest in the format of each kind of channel.

Formats and limits are from the services' documentation. Papers that do not fit are left out and
counted. No message has a link with a token.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape

from django.conf import settings

from digest import wording

#: Discord's limit, in UTF-16 units to be safe. Others of Slack's format allow more.
MAX_TEXT = 2_000
MAX_BLOCKS = 50
MAX_BLOCKS_SIZE = 12_000  # Slack refuses messages of some 13,000 characters (bolt-js issue 2509).
MAX_CARD_SIZE = 28_000
MAX_TELEGRAM = 4_096
MAX_APPRISE = 4_000  # Bytes: ntfy makes a file of more than 4,096. Apprise adds the title.
#: What means something in Markdown: anywhere, in an entity, and at the start of a line.
MARKDOWN = re.compile(r"[\\`*_\[\]()<>~]|&(?=#?\w+;)|^[-+#]|(?<=\d)\.(?=\s|$)")
CARD_SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
CARD_TYPE = "application/vnd.microsoft.card.adaptive"


@dataclass(frozen=True)
class MessagePaper:
    """A paper of a message."""

    id: str
    title: str
    url: str
    authors: str
    reason: str


@dataclass(frozen=True)
class ChannelMessage:
    """A message, whose title and text letters/compose.py writes.

    Receivers can drop a repeated message by its `id`.
    """

    id: str
    title: str
    day: str
    text: str
    papers: Sequence[MessagePaper] = ()


def payload(kind: str, message: ChannelMessage) -> bytes:
    """Return the message in the format of a kind of channel."""
    return _encoded(FORMATS[kind](message))


def _encoded(message):
    return json.dumps(message, ensure_ascii=False).encode()


def _fitting[T](message, make: Callable[..., T], max_size: int, size: Callable[[T], int]) -> T:
    """Return what `make` makes of as many papers as fit, and of a line about the others."""
    for count in range(len(message.papers), -1, -1):
        footer = wording.and_more(len(message.papers), count) or settings.SITE_NAME
        body = make([*enumerate(message.papers[:count], start=1)], footer)
        if size(body) <= max_size:
            break
    return body


def _units(text):
    return len(text.encode("utf-16-le")) // 2


def _inert(text):
    """Return text in HTML or Slack's mrkdwn that mentions nobody and hides no link.

    A word joiner follows each @, and each ] that Mattermost and Discord would make a link of.
    """
    return _without_mentions(escape(text, quote=False))


def _without_mentions(text):
    return text.replace("@", "@\u2060").replace("](", "]\u2060(")


def _json(message):
    return asdict(message) | {"url": settings.SITE_URL}


def _slack(message):
    """Slack shows the blocks, and the others the text."""

    def text(papers, footer):
        entries = (f"{number}. {_inert(paper.title)}\n{paper.url}" for number, paper in papers)
        link = f"{footer}: {settings.SITE_URL}"
        parts = [_inert(message.title), _inert(message.text), *entries, link]
        return "\n\n".join(filter(None, parts))

    def blocks(papers, footer):
        texts = [_inert(message.text)]
        for number, paper in papers:
            title = f"*{number}. <{paper.url}|{_inert(paper.title)}>*"
            details = filter(None, (_inert(paper.authors), _inert(paper.reason)))
            texts.append("\n".join([title, *details]))
        texts = filter(None, [*texts, f"<{settings.SITE_URL}|{_inert(footer)}>"])
        parts = [{"type": "mrkdwn", "text": text, "verbatim": True} for text in texts]
        header = {"type": "header", "text": {"type": "plain_text", "text": message.title[:150]}}
        return [header, *({"type": "section", "text": part} for part in parts)]

    def size(blocks):
        return len(_encoded(blocks)) + MAX_BLOCKS_SIZE * (len(blocks) > MAX_BLOCKS)

    fitting_text = _fitting(message, text, MAX_TEXT, _units)
    return {"text": fitting_text, "blocks": _fitting(message, blocks, MAX_BLOCKS_SIZE, size)}


def _escaped(text):
    """Return text in Markdown, as one line that mentions nobody and begins no list or heading."""
    return MARKDOWN.sub(r"\\\g<0>", " ".join(text.split())).replace("@", "@\u2060")


def _teams(message):
    """Teams shows the Markdown of TextBlocks, but no links of other elements."""

    def block(text, url="", **look):
        if url:
            text = f"[{text}]({url.replace('(', '%28').replace(')', '%29')})"
        return {"type": "TextBlock", "text": text, "wrap": True, **look}

    def card(papers, footer):
        body = [block(_escaped(message.title), size="Large"), block(_escaped(message.text))]
        for number, paper in papers:
            title = f"{number}. {_escaped(paper.title)}"
            body.append(block(title, paper.url, weight="Bolder"))
            details = " · ".join(filter(None, (paper.authors, paper.reason)))
            body.append(block(_escaped(details), isSubtle=True))
        body.append(block(_escaped(footer), settings.SITE_URL))
        content = {"$schema": CARD_SCHEMA, "type": "AdaptiveCard", "version": "1.4", "body": body}
        attachment = {"contentType": CARD_TYPE, "contentUrl": None, "content": content}
        return {"type": "message", "attachments": [attachment]}

    return _fitting(message, card, MAX_CARD_SIZE, lambda card: len(_encoded(card)))


def _telegram(message):
    """webhooks.py adds the chat."""

    def link(url, text):
        return f'<a href="{escape(url)}">{_inert(text)}</a>'

    def text(papers, footer):
        parts = [f"<b>{_inert(message.title)}</b>\n{_inert(message.text)}"]
        for number, paper in papers:
            authors = f"{_inert(paper.authors)}\n" if paper.authors else ""
            title = f"{number}. {link(paper.url, paper.title)}"
            parts.append(f"{title}\n{authors}<i>{_inert(paper.reason)}</i>")
        return "\n\n".join([*parts, link(settings.SITE_URL, footer)])

    options = {"parse_mode": "HTML", "link_preview_options": {"is_disabled": True}}
    return {"text": _fitting(message, text, MAX_TELEGRAM, _units), **options}


def _apprise(message):
    """Apprise converts the text to what each service behind it shows."""

    def plain(text):
        return _without_mentions(text).replace("<", "<\u2060")

    def body(papers, footer):
        parts = [plain(message.text)]
        for number, paper in papers:
            details = filter(None, (paper.title, paper.authors, paper.reason))
            parts.append(f"{number}. {plain('\n'.join(details))}\n{paper.url}")
        return "\n\n".join(filter(None, [*parts, f"{footer}: {settings.SITE_URL}"]))

    text = _fitting(message, body, MAX_APPRISE, lambda text: len(text.encode()))
    return {"title": plain(message.title), "body": text, "type": "info", "format": "text"}


#: By Subscriber.Channel.
FORMATS = {
    "slack": _slack,
    "teams": _teams,
    "telegram": _telegram,
    "apprise": _apprise,
    "json": _json,
}
