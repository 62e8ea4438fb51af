"""What the letters' templates say about papers, in the words and lengths that mail has room for."""

from urllib.parse import urlsplit

from django import template

from subscriptions.plaintext import columns, fitting

register = template.Library()

PREHEADER = 100  # Columns that an inbox shows of a letter before it is opened, at most.


@register.filter
def shorten(text, limit: int) -> str:
    """Return the text on one line of at most `limit` columns, cut after a word."""
    text = " ".join(str(text).split())
    if columns(text) <= limit:
        return text
    head = text[: fitting(text, limit - 1)]
    at_word, space, _ = head.rpartition(" ")
    if space and len(at_word) > len(head) // 2:  # One endless word is cut where it must be.
        head = at_word
    return head.rstrip(" ,;:.–—-(") + "…"


@register.filter
def preheader(picks) -> str:
    """Return what the inbox shows after the subject, which is the first paper's title already."""
    said = [pick.paper.title for pick in picks[1:4]] or [pick.paper.abstract for pick in picks]
    last = "New research papers, each with the reason why it is here"
    return shorten(" · ".join(filter(None, [*said, last])), PREHEADER)


@register.filter
def facts(pick) -> str:
    """Return what else is known of a paper: its fields, its upvotes, whether it is a sample."""
    paper = pick.paper
    known = [", ".join(paper.fields[:4])]
    told = (pick.Basis.TREND, pick.Basis.SECOND)  # Whose reason is the votes.
    if paper.upvotes and pick.basis not in told:
        known.append(f"{paper.upvotes} upvote{'s' if paper.upvotes != 1 else ''}")
    if paper.is_sample:
        known.append("sample paper")
    return " · ".join(filter(None, known))


@register.filter
def link_name(paper) -> str:
    """Return where the paper's link leads, in a word: its arXiv number, or the host."""
    host = urlsplit(paper.link).hostname or ""
    is_arxiv = host.removeprefix("www.") == "arxiv.org" and ":" not in paper.id
    return f"arXiv:{paper.id}" if is_arxiv else host


@register.filter
def clock(subscriber) -> str:
    """Return the hour of her digest as people say it: 07:00 Berlin time."""
    zone = subscriber.timezone
    name = zone if zone == "UTC" else f"{zone.rpartition('/')[2].replace('_', ' ')} time"
    return f"{subscriber.hour:02}:00 {name}"
