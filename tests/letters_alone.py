"""A digest's letter rendered as one page, nothing shared: what the joined one must be like."""

from itertools import groupby

from django.utils import translation
from django.utils.safestring import mark_safe

from digest import blocks, composing, wording
from subscriptions import links, mail


def alone(material, form=composing.DENSITIES[0]) -> mail.Content:
    """Return the letter as its templates and premailer make it, in the given form."""
    with translation.override(material.subscriber.language_or_default):
        lines, (tokens,) = composing.lines_of(material), composing.tokens_of([material])
        papers = _papers(material, tokens, form)
        news = [blocks.markup("news", {"news": material.news})] if material.news else []
        parts = composing.frame_context(lines, tokens, is_open=material.is_open)
        text, _ = mail.render_parts("digest", parts | _joined(papers, "text") | _news(news, "text"))
        _, html = mail.render_parts("digest", parts | _joined(papers, "html") | _news(news, "html"))
        url = links.unsubscribe_url(material.subscriber)
        headers = mail.headers("digest", url, f"{material.digest.day:%Y%m%d}")
        return mail.Content.of(lines["subject"], text, html, headers)


def _papers(material, tokens, form):
    """Return the headings and papers as their templates render them."""
    found = []
    for name, some in groupby(material.picks, lambda pick: wording.group(pick.basis, pick.group)):
        found.append(blocks.markup("group", {"name": wording.heading(name)}))
        for pick in some:
            url = composing.feedback_url(tokens["feedback"], pick.paper_id)
            found.append(blocks.markup("paper", blocks.paper_context(pick, form, url)))
    return found


def _joined(papers, part):
    between = {"text": "\n\n", "html": "\n"}[part]
    markups = [getattr(paper, part).strip("\n") for paper in papers]
    return {"papers": mark_safe(between.join(markups))} if papers else {}


def _news(news, part):
    return {"news": mark_safe(getattr(news[0], part).strip("\n"))} if news else {}
