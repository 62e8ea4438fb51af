"""Texts of emails and pages about papers, in the active language and of limited lengths.

Columns are those of a terminal: a wide character takes two.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from itertools import groupby
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from digest.numbers import grouped
from digest.papers.summary import best_sentence
from digest.papers.venues import venue
from digest.ranking.authors import INSTITUTION, queried_names
from digest.ranking.stopwords import STOP_WORDS
from digest.sources.records import readable_text
from subscriptions.mail.plaintext import one_line, shortened, unnumbered
from subscriptions.templatetags import dates

RELATIVE_COLUMNS = 120  # Of the title of a paper on the same idea.
PREHEADER_COLUMNS = 100  # An inbox shows so many after the subject, at most.
REASON_COLUMNS = 160
AUTHOR_COLUMNS = 60
TOPIC_COLUMNS = 60  # Of one name beside other text: some paste a whole abstract.
TOPICS_COLUMNS = 240  # Of the names of all topics.
#: How the subjects of answers begin: a title that begins so must not look like one.
REPLY = re.compile(r"[\W_]*(re|fwd?|aw|wg|sv|vs|tr|antw)\s?(\[\d+\])?\s*[:：]", re.IGNORECASE)
WORDS = re.compile(r"[^\W\d_]+")
#: Groups of picks that have a heading, whatever the picks' topics are. They come last.
OWN_HEADINGS = ("missed", "near", "shared")
NOTE_COLUMNS = 600  # Of a recommendation, which has 280 characters of one or two columns.
#: The reason names the votes, so the facts don't.
VOTE_BASES = ("trend", "second")


def authors(names: list[str]) -> str:
    """Return up to three authors; of more the first, the last, and how many they are."""
    short_names = [shortened(name, AUTHOR_COLUMNS) for name in names]
    if len(short_names) <= 3:
        return ", ".join(short_names)
    return f"{short_names[0]} … {short_names[-1]} ({len(short_names)})"


def origin(paper) -> str:
    """Return a paper's arXiv number, its server, or the host of its link (but not doi.org)."""
    host = urlsplit(paper.link).hostname or ""
    is_arxiv = host.removeprefix("www.") == "arxiv.org" and ":" not in paper.id
    if is_arxiv:
        return f"arXiv:{paper.id}"
    if paper.server and host in ("", "doi.org"):
        return paper.server
    kind = paper.id.partition(":")[0]
    return host or (_("no link known") if kind == "title" else kind)


def title(paper) -> str:
    """Return the title, in the language of the summary if there is one."""
    return (paper.llm_summary and paper.llm_summary.title) or paper.title


def summary_by(paper) -> str:
    """Return which language model wrote the summary, if one did."""
    return _("Summary by %s") % paper.llm_summary.model if paper.llm_summary else ""


def labelled_summary(paper) -> str:
    """Return the summary by a language model on one line with its model, if there is one."""
    return f"{paper.llm_summary.text} ({summary_by(paper)})" if paper.llm_summary else ""


def summary(paper, interest: Sequence[str] = ()) -> str:
    """Return the summary in the subscriber's language, or else a sentence of the abstract or,
    where none is short enough, Hugging Face's summary.

    `interest` are the words that a subscriber looks for.
    """
    if paper.llm_summary:
        return paper.llm_summary.text
    sentence = best_sentence(paper.title, paper.abstract, interest)
    by_hugging_face = (paper.hugging_face or {}).get("summary", "")
    if by_hugging_face and not sentence:
        return _("Summary by Hugging Face: %s") % by_hugging_face
    return one_line(sentence)


def facts(pick) -> str:
    """Return what an email says of a paper after its origin."""
    paper = pick.paper
    details = [", ".join(paper.fields[:2])]
    if paper.upvotes and pick.basis not in VOTE_BASES:
        details.append(upvotes(paper.upvotes))
    if paper.stars:
        details.append(ngettext("%s star", "%s stars", paper.stars) % grouped(paper.stars))
    if (published_in := venue(paper)) != origin(paper):
        details.append(published_in)
    details.append((paper.hugging_face or {}).get("organization"))
    if paper.is_sample:
        details.append(_("sample paper"))
    return " · ".join(filter(None, details))


def card_facts(paper) -> list[str]:
    """Return stars, venue, organization, fields and state of a paper, as pages list them."""
    stars = paper.stars and ngettext("%s star", "%s stars", paper.stars) % grouped(paper.stars)
    organization = (paper.hugging_face or {}).get("organization")
    withdrawn, sample = paper.is_withdrawn and _("Withdrawn"), paper.is_sample and _("Sample")
    facts = stars, venue(paper), organization, *paper.fields[:4], withdrawn, sample
    return list(filter(None, facts))


def upvotes(count: int) -> str:
    return ngettext("%s upvote", "%s upvotes", count) % grouped(count)


def on_same_idea(count: int, named_count: int) -> str:
    """Return the text before `named_count` of `count` papers that are folded into another."""
    if not count:
        return ""
    if not named_count:
        return ngettext("And %d on the same idea", "And %d on the same idea", count) % count
    return ngettext("And %d on the same idea:", "And %d on the same idea:", count) % count


def relative(paper, leader) -> str:
    """Return the title of a paper that is folded into another, or the origin of the same work."""
    is_same = paper.title.casefold() == leader.title.casefold()
    return shortened(origin(paper) if is_same and paper.link else paper.title, RELATIVE_COLUMNS)


def and_more(count: int, named_count: int) -> str:
    """Return how many of `count` papers are not named. Empty if none is named."""
    more = count - named_count
    return ngettext("and %d more", "and %d more", more) % more if more > 0 and named_count else ""


def left_out_text(count: int) -> str:
    """Return the text about papers that an email is too long for."""
    text = ngettext(
        "%d more paper is in the web version. Mail programs would cut off a longer email.",
        "%d more papers are in the web version. Mail programs would cut off a longer email.",
        count,
    )
    return text % count


def section_of(basis: str, topic: str, group: str | None) -> tuple[str, str]:
    """Return the section of the digest that a pick is in: its name, and its topic if it has one."""
    if group in OWN_HEADINGS or basis == "second":
        return group if group in OWN_HEADINGS else "missed", ""
    return basis, topic if basis == "topic" else ""


def sections(picks: Sequence) -> list[tuple[str, list]]:
    """Return the picks, in their order, in sections: each with its heading."""
    language = translation.get_language()
    keys = [section_of(pick.basis, pick.topic_name, pick.group) for pick in picks]
    headings = [_heading(*key, language) for key in keys]
    runs = groupby(zip(headings, picks, strict=True), lambda pair: pair[0])
    return [(heading, [pick for _, pick in run]) for heading, run in runs]


@lru_cache(10_000)
def _heading(name, topic, language):
    headings = {
        "missed": _("You may have missed"),
        "near": _("Close to your interests"),
        "shared": _("Shared in your groups"),
        "group": _("Similar to papers that members liked"),
        "learned": _("Like papers you chose"),
        "added": _("Like papers you added"),
        "trend": _("Trending"),
        "new": _("New"),
    }
    return headings.get(name) or unnumbered(_topic_label(topic)) or _("For you")


def why(
    basis: str,
    topic: str,
    terms: Sequence[str],
    votes: int,
    area: str,
    group: str | None = None,
    like: str = "",
) -> str:
    """Return the reason for a pick, as pages show it."""
    if basis == "advice":  # Names and notes are no topics.
        sender = shortened(topic, TOPIC_COLUMNS)
        reason = _("Recommended by %s") % sender if sender else _("Recommended by a colleague")
        return f"{reason}: “{shortened(terms[0], NOTE_COLUMNS)}”" if terms else reason
    if basis == "group":
        sentence = _("In the digest of %s") % shortened(topic, TOPICS_COLUMNS)
        return sentence if topic else _("Similar to papers that members liked")
    reason = _why(basis, topic, terms, votes, area)
    # Translators: why a paper is in a digest: it is nearly about a topic, of which it has a word.
    is_near = group == "near" and basis == "topic"
    return _with_like(
        shortened(_("Close to %s") % reason if is_near else reason, REASON_COLUMNS), like
    )


def reason_of(pick) -> str:
    """Return the reason for a pick in words."""
    return why(*pick.reason)


def note(reason: tuple, *, is_brief: bool) -> str:
    """Return what the heading of its section does not say of the reason for a pick.

    `reason` are the arguments of `why`. The brief form leaves out the words of a topic.
    """
    basis, topic, terms, *_unused, section, like = reason
    if (basis == "new" and section != "near") or (basis == "group" and not topic):
        return _with_like("", like)
    if basis != "topic" or section == "near":
        return why(*reason)
    words = "" if is_brief else _extra_words(topic, terms)
    matches = shortened(_("Matches: %s") % words, REASON_COLUMNS) if words else ""
    return _with_like(matches, like)


def _with_like(text, title):
    """Return a reason, and the title of a similar paper that the subscriber chose, if any."""
    like = _("Like “%s”, which you chose") % shortened(title, TOPIC_COLUMNS) if title else ""
    return " · ".join(filter(None, [text, like]))


def _why(basis, topic, terms, votes, area):
    words = ", ".join(terms)
    authors = _author_names(topic)
    is_institution = topic.lower().startswith(INSTITUTION)
    topic = authors or _readable(topic)
    if basis == "topic" and authors and is_institution:
        # Translators: why a paper is in a digest: the subscriber follows an institution.
        return _("Institution: %s") % authors
    if basis == "topic" and authors:
        # Translators: why a paper is in a digest: the subscriber follows its author.
        return _("By %s") % authors
    if basis == "topic":
        extra_words = _extra_words(topic, terms)
        return f"{shortened(topic, TOPIC_COLUMNS)}: {words}" if extra_words else topic
    if basis == "added" or (basis == "learned" and topic):
        is_added = basis == "added"
        template = _("Like “%s”, which you added") if is_added else _("Like “%s”, which you chose")
        reason = template % shortened(topic, TOPIC_COLUMNS)
        return f"{reason}: {words}" if words else reason
    if basis == "learned":
        return _("Like what you chose: %s") % words if words else _("Like what you chose")
    if basis == "second":
        reason = _("Taken off since: %s") % upvotes(votes)
        return f"{reason} ({topic})" if topic else reason
    if basis == "trend":
        return _("Trending: %s") % upvotes(votes)
    return _("New in %s") % area if area else _("New here")


def _extra_words(topic, terms):
    """Return the matched words where they say more than the topic's name, but for such as "of"."""
    words = ", ".join(terms)
    word_set = _words_of(words)
    return words if word_set and word_set != _words_of(topic) and not _author_names(topic) else ""


def _words_of(text):
    """Return the words of a text, without single letters, numbers and stop words."""
    return {word for word in WORDS.findall(text.lower()) if len(word) > 1} - STOP_WORDS


def subject(title: str, more_count: int) -> str:
    """Return an email's subject: the title of the first paper, and how many more there are."""
    title = one_line(title) or settings.SITE_NAME
    if REPLY.match(title):
        title = f"“{title}”"
    suffix = ngettext("+ %d more", "+ %d more", more_count) % more_count
    return f"{title} {suffix}" if more_count else title


def quiet_subject() -> str:
    """Return the subject of an email without papers."""
    return _("No new papers for you today")


def headline(count: int, considered: int) -> str:
    """Return how many papers were picked, and from how many."""
    values = {"count": count, "considered": grouped(considered)}
    if considered < count:  # It is not known.
        return ngettext("%(count)d pick", "%(count)d picks", count) % values
    text = ngettext(
        "%(count)d pick from %(considered)s new papers",
        "%(count)d picks from %(considered)s new papers",
        count,
    )
    return text % values


def overview(counts: Sequence[tuple[str, int]]) -> str:
    """Return how many picks each section has: "cryo-EM (5), Trending (1)". "" for one section."""
    labels = [f"{heading} ({count})" for heading, count in counts if heading]
    return shortened(", ".join(labels), TOPICS_COLUMNS) if len(counts) > 1 else ""


def preheader(headline: str, overview: str, texts: Sequence[str]) -> str:
    """Return the text after the subject: the overview, and the next titles where there is room."""
    opening = f"{headline}: {overview}" if overview else headline
    return shortened(" · ".join([opening, *texts])[: 4 * PREHEADER_COLUMNS], PREHEADER_COLUMNS)


def event_context(event) -> dict:
    """Return the title and link of a saved paper, and a sentence on what happened to it."""
    text, note = event.get_kind_display(), event.note
    if event.kind == "revised":
        note = note.replace("version ", "v")  # In every language.
    return {
        "title": shortened(event.paper.title, 160),
        "link": event.paper.link,
        "said": shortened(f"{text}: {note}" if note else text, 160) + ".",
    }


def names(topics: Sequence[str]) -> str:
    """Return the names of topics on one line, truncated."""
    return shortened(", ".join(map(_topic_label, topics)), TOPICS_COLUMNS)


@lru_cache(10_000)
def _topic_label(topic):
    """Return a topic's name, or the names of its authors."""
    return shortened(_author_names(topic) or _readable(topic), TOPIC_COLUMNS)


@lru_cache(10_000)
def _author_names(topic):
    """Return the names of the authors or institutions that a topic asks for, on one line."""
    return ", ".join(name.removeprefix(INSTITUTION) for name in queried_names(topic))


#: Subscribers write LaTeX as well: topics such as "$\alpha$-stable processes".
_readable = lru_cache(10_000)(readable_text)


def clock(hour: int, zone: str) -> str:
    """Return the hour of a digest: 07:00 Berlin time."""
    hour = f"{hour:02}:00"
    if zone == "UTC":
        return f"{hour} UTC"
    city = one_line(zone.rpartition("/")[2].replace("_", " "))
    return _("%(hour)s %(city)s time") % {"hour": hour, "city": city}


def day(day: date) -> str:
    """Return a date as pages show it: 25 November 2026."""
    return _day(day, translation.get_language())


@lru_cache(10_000)
def _day(day, language):
    return dates.format_date(day, _("j F Y"))


def footer_reason(site: str, day: date, group: str = "") -> str:
    """Return the sentence in the footer about a subscriber who confirmed on this day.

    `group` is the group whose mailing list the subscriber is.
    """
    if group:
        line = _("This is the digest of the group “%(group)s”, chosen by its members’ interests.")
        return line % {"group": group}
    return _(
        "You get this email because you subscribed to %(site)s and confirmed this address "
        "on %(day)s."
    ) % {"site": site, "day": dates.format_date(day, _("j F Y"))}


def welcome(site: str, hour: int, zone: str, is_daily: bool) -> str:
    """Return the introduction of the first digest."""
    if is_daily:
        line = _(
            "Welcome to %(site)s. This is your first digest. From tomorrow, you get one at "
            "%(clock)s every day with new papers for you."
        )
    else:
        line = _(
            "Welcome to %(site)s. This is your first digest. From tomorrow, you get one at "
            "%(clock)s on the days you chose, if there are new papers for you."
        )
    return line % {"site": site, "clock": clock(hour, zone)}


def catchup_text(days: int, considered: int) -> str:
    """Return the introduction of a digest, so many days after the last completed one.

    The last email may be longer ago: a day without papers brings none.
    """
    values = {"days": days, "considered": grouped(considered)}
    return _("These are the best of %(considered)s papers from the past %(days)d days.") % values


def empty_text(considered: int, topics: Sequence[str]) -> str:
    """Return the text of a digest without papers."""
    if not considered:
        return _("No new papers were published today.")
    if not topics:
        return _("You have already received all of today’s papers.")
    text = ngettext(
        "%s new paper today, but it doesn’t match your interests.",
        "%s new papers today, but none match your interests.",
        considered,
    )
    return text % grouped(considered)
