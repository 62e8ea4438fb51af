"""A digest's letter rendered as one page, nothing shared: what the joined one must be like."""

from django.utils import translation
from django.utils.safestring import mark_safe

from digest import wording
from digest.letters import compose, fragments
from subscriptions.mail import render
from subscriptions.security import tokens as links


def alone(material) -> render.Content:
    """Return the letter as its templates make it."""
    with translation.override(material.subscriber.language_or_default):
        lines, (tokens,) = compose.lines_of(material), compose.tokens_of([material])
        urls = compose.short_urls_of(material)
        frame = compose.frame_context(lines, tokens, urls, is_impersonal=material.is_impersonal)
        texts, htmls = dict(frame), dict(frame)
        if material.picks:
            papers = zip(*_papers(material, tokens, urls), strict=True)
            texts["papers"], htmls["papers"] = map(mark_safe, map(str.join, ("\n\n", "\n"), papers))
        if material.news:
            news = fragments.markup("news", {"news": material.news})
            texts["news"], htmls["news"] = map(mark_safe, news)
        text, _ = render.render_parts("digest", texts)
        _, html = render.render_parts("digest", htmls)
        url = links.unsubscribe_url(material.subscriber)
        headers = render.headers("digest", url, campaign=f"{material.digest.day:%Y%m%d}")
        return render.Content.of(lines["subject"], text, html, headers)


def _papers(material, tokens, short_urls):
    """Return the headings and papers as their templates render them."""
    found = []
    for heading, picks in wording.sections(material.picks):
        if heading:
            found.append(fragments.markup("group", {"name": heading}))
        for pick in picks:
            urls = compose.paper_urls(tokens, pick.paper_id)
            short_url = f"{short_urls['short_feedback']}{pick.position}/"
            context = (
                fragments.paper_context(pick, compose.DENSITIES[0], material.digest.day) | urls
            )
            context |= {"number": f"{pick.position}.", "short_url": short_url}
            found.append(fragments.markup("paper", context))
    return found
