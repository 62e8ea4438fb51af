"""A digest's letter rendered as one page, nothing shared: what the joined one must be like."""

from itertools import groupby

from django.utils import translation
from django.utils.safestring import mark_safe

from digest import wording
from digest.letters import compose, fragments
from subscriptions.mail import render
from subscriptions.security import tokens as links


def alone(material, form=compose.DENSITIES[0]) -> render.Content:
    """Return the letter as its templates and premailer make it, in the given form."""
    with translation.override(material.subscriber.language_or_default):
        lines, (tokens,) = compose.lines_of(material), compose.tokens_of([material])
        papers = _papers(material, tokens, form)
        news = [fragments.markup("news", {"news": material.news})] if material.news else []
        parts = compose.frame_context(lines, tokens, is_open=material.is_open)
        text, _ = render.render_parts(
            "digest", parts | _joined(papers, "text") | _news(news, "text")
        )
        _, html = render.render_parts(
            "digest", parts | _joined(papers, "html") | _news(news, "html")
        )
        url = links.unsubscribe_url(material.subscriber)
        headers = render.headers("digest", url, f"{material.digest.day:%Y%m%d}")
        return render.Content.of(lines["subject"], text, html, headers)


def _papers(material, tokens, form):
    """Return the headings and papers as their templates render them."""
    found = []
    for name, some in groupby(material.picks, lambda pick: wording.group(pick.basis, pick.group)):
        found.append(fragments.markup("group", {"name": wording.heading(name)}))
        for pick in some:
            url = compose.feedback_url(tokens["feedback"], pick.paper_id)
            found.append(fragments.markup("paper", fragments.paper_context(pick, form, url)))
    return found


def _joined(papers, part):
    between = {"text": "\n\n", "html": "\n"}[part]
    markups = [getattr(paper, part).strip("\n") for paper in papers]
    return {"papers": mark_safe(between.join(markups))} if papers else {}


def _news(news, part):
    return {"news": mark_safe(getattr(news[0], part).strip("\n"))} if news else {}
