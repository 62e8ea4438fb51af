"""The card of a paper, and template filters for what is said of papers and picks."""

from django import template
from django.utils.html import conditional_escape
from django.utils.translation import gettext as _

from digest import wording
from digest.papers import citations, venues

register = template.Library()
register.filter("coins", citations.coins)
register.filter("venue", venues.venue)
register.filter("in_words", wording.day)
register.filter("reason", wording.reason_of)


@register.inclusion_tag("_paper.html")
def paper_card(
    paper,
    level,
    *,
    is_compact=False,
    dated=False,
    number=None,
    why="",
    relatives=(),
    feedback_token="",
    recommend_token="",
    title="",
    byline="",
    snippet="",
):
    """Show a paper, with its title as a heading of this level.

    In a digest it has a number, the reason for it, the papers folded into it, and feedback buttons;
    in search results a title, a byline and a snippet with marked words. The compact form is a title
    and one line of facts.

    All is computed here, once: in a template, each look-up takes longer.
    """
    url, paper_title = paper.get_absolute_url(), conditional_escape(wording.title(paper))
    context = {
        "paper": paper,
        "paper_title": paper_title,
        "url": url,
        "level": level,
        "is_compact": is_compact,
        "dated": dated,
        "upvotes": paper.upvotes and wording.upvotes(paper.upvotes),
        "facts": wording.card_facts(paper),
        "number": number,
        "why": why,
        "title": title or paper_title,
    }
    if is_compact:
        return context
    links = [
        (paper.link, paper.link and paper.link_label),
        (paper.full_text, _("Full text")),
        (paper.github, _("Code")),
        ((paper.hugging_face or {}).get("project_page"), _("Project page")),
        (f"{url}#alike", _("Similar papers")),
    ]
    return context | {
        "byline": byline or paper.byline,
        "snippet": snippet or wording.summary(paper),
        "summary_by": wording.summary_by(paper),
        "is_translated": wording.title(paper) != paper.title,
        "relatives": relatives,
        "links": [link for link in links if link[0]],
        "feedback_token": feedback_token,
        "recommend_token": recommend_token,
        "coins": paper.link and citations.coins(paper),
    }
