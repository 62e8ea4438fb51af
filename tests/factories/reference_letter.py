"""A digest's letter rendered as one page, nothing shared: what the joined one must be like."""

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
        urls = compose.short_urls_of(material)
        papers = _papers(material, tokens, urls, form)
        news = [fragments.markup("news", {"news": material.news})] if material.news else []
        parts = compose.frame_context(lines, tokens, urls, is_open=material.is_open)
        text, _ = render.render_parts(
            "digest", parts | _joined(papers, "text") | _news(news, "text")
        )
        _, html = render.render_parts(
            "digest", parts | _joined(papers, "html") | _news(news, "html")
        )
        url = links.unsubscribe_url(material.subscriber)
        headers = render.headers("digest", url, f"{material.digest.day:%Y%m%d}")
        return render.Content.of(lines["subject"], text, html, headers)


def _papers(material, tokens, short_urls, form):
    """Return the headings and papers as their templates render them."""
    found = []
    for heading, picks in wording.sections(material.picks):
        if heading:
            found.append(fragments.markup("group", {"name": heading}))
        for pick in picks:
            urls = compose.paper_urls(tokens, pick.paper_id)
            short_url = f"{short_urls['short_feedback']}{pick.position}/"
            context = fragments.PaperText.of(pick, form, urls).context()
            context |= {"number": f"{pick.position}.", "short_url": short_url}
            found.append(fragments.markup("paper", context))
    return found


def _joined(papers, part):
    between = {"text": "\n\n", "html": "\n"}[part]
    markups = [getattr(paper, part).strip("\n") for paper in papers]
    return {"papers": mark_safe(between.join(markups))} if papers else {}


def _news(news, part):
    return {"news": mark_safe(getattr(news[0], part).strip("\n"))} if news else {}
