"""What letters and pages say of papers, in the words and lengths for which they have room.

In the language that is active.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import formats, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from digest.ranking.authors import asked_for
from digest.ranking.query import QUOTED, QUOTES, SHORT_TEXT
from digest.ranking.stopwords import STOP_WORDS
from digest.sources.records import readable
from digest.summary import summary as sentence_of
from subscriptions import dates
from subscriptions.plaintext import columns, one_line, shortened

RELATIVE = 120  # Columns of the title of a paper on the same idea.
SUBJECT = 60  # Columns that most inboxes show.
PREHEADER = 100  # Columns that an inbox shows of a letter before it is opened, at most.
WHY = 160  # Columns of the reason.
NAME = 60  # Columns of one author.
TOPIC = 60  # Columns of the name of a topic beside more: some paste a whole abstract.
TOPICS = 240  # Columns of the names of all topics.
#: How the subjects of answers begin: a title that begins so must not look like one.
REPLY = re.compile(r"[\W_]*(re|fwd?|aw|wg|sv|vs|tr|antw)\s?(\[\d+\])?\s*[:：]", re.IGNORECASE)
WORDS = re.compile(r"[^\W\d_]+")
#: What authors write of a paper that is not accepted, or of another version of it.
NOT_ACCEPTED = re.compile(r"(?i)\b(?:earlier|exten[ds]|(?:in|under) review|not|prev|revis|submi)")
#: "Accepted at NeurIPS 2025", or a conference with its year and no more than how it is there.
ACCEPTED = re.compile(
    r"\b(?i:(?:accepted|to appear|(?:to be )?published)"
    r"(?: for (?:oral |poster )?(?:presentation|publication))?(?: as (?:an? )?[\w-]+(?: \w+)?)?"
    r" (?:at|by|for|in|to)(?: the)?) ((?>[A-Z\d][\w’'&/+-]*"
    r"(?: (?:(?:&|and|at|for|in|of|on|the) ){0,2}[A-Z\d][\w’'&/+-]*)*))(?!\.)"
    r"|(?:\A|[,.:]) *((?!AMS|MSC)[A-Z]+[A-Za-z]*[A-Z]+ 20\d\d"
    r"(?: \(?(?i:findings|main|oral|poster|spotlight)\)?)?)(?= *(?:[,.:]|\Z))"
)
#: Whose reason is the votes, which are not told again.
TOLD_BY_VOTES = ("trend", "second")
#: What other search engines obey, and nothing does here: in capitals, before something.
OPERATOR = re.compile(r"(?<=\S\s)(?:AND|OR)(?=\s\S)|\bNOT(?=\s\S|\()")
#: And how a few words say NOT; in a sentence, most of these say something of the subject.
BUT = re.compile(
    r"(?:[,;]\s*(?:but\s+)?|\bbut\s+)(?:not?|except|excluding|without)\s+\w|\s(?:except|excluding)\s+\w",
    re.IGNORECASE,
)
FEW_WORDS = 8
#: What leaves something out in a wish of any length.
BUT_NOT = re.compile(
    r"\bbut\s+(?:not?|nothing)\s+(?!only\b)\w|[\s,;](?:except|excluding)\s+\w", re.IGNORECASE
)


def authors(names: list[str]) -> str:
    """Return all of few authors; of many the first, how many come between, and the last."""
    names = [shortened(name, NAME) for name in names]
    if len(names) <= 3:
        return ", ".join(names)
    between = len(names) - 2
    others = ngettext("%d other", "%d others", between) % between
    return f"{names[0]}, {others}, {names[-1]}"


def origin(paper) -> str:
    """Return where the paper is from, in a word: its arXiv number, its server, or the host of its
    link. That of DOIs tells nothing.
    """
    host = urlsplit(paper.link).hostname or ""
    is_arxiv = host.removeprefix("www.") == "arxiv.org" and ":" not in paper.id
    if is_arxiv:
        return f"arXiv:{paper.id}"
    if paper.server and host in ("", "doi.org"):
        return paper.server
    kind = paper.id.partition(":")[0]
    return host or (_("no link known") if kind == "title" else kind)


def summary(paper, interest: Sequence[str] = ()) -> str:
    """Return what a paper does or finds: a sentence of its abstract or, where none is short enough,
    the summary of Hugging Face. `interest` are the words that a subscriber looks for.
    """
    said = sentence_of(paper.title, paper.abstract, interest)
    theirs = (paper.hugging_face or {}).get("summary", "")
    return one_line(said) if said or not theirs else _("Summary by Hugging Face: %s") % theirs


def facts(pick) -> str:
    """Return what else is known of a paper: fields, votes, stars, where it was accepted, whose it
    is, and whether it is a sample.
    """
    paper = pick.paper
    known = [", ".join(paper.fields[:4])]
    if paper.upvotes and pick.basis not in TOLD_BY_VOTES:
        known.append(upvotes(paper.upvotes))
    if paper.stars:
        known.append(ngettext("%s star", "%s stars", paper.stars) % grouped(paper.stars))
    known += [venue(paper), (paper.hugging_face or {}).get("organization")]
    if paper.is_sample:
        known.append(_("sample paper"))
    return " · ".join(filter(None, known))


def venue(paper) -> str:
    """Return where it is accepted, as its authors write; nothing where that is in doubt."""
    ends = r";|(?:(?<=[a-z]{5})|(?<=\d{4})|(?<=\)))\.(?: (?![A-Z]\.)|$)"
    for part in re.split(ends, paper.comments):
        name = (found := ACCEPTED.search(part)) and (found[1] or found[2])
        if name and len(re.findall("[A-Z]", name)) > 1 and not NOT_ACCEPTED.search(part):
            return _("accepted at %s") % shortened(name, 80)
    return ""


def upvotes(count: int) -> str:
    return ngettext("%s upvote", "%s upvotes", count) % grouped(count)


def on_same_idea(count: int, named: int) -> str:
    """Return how the papers are introduced that are folded into another, of which some are named.

    Nothing where there is none.
    """
    if not count:
        return ""
    if not named:
        return ngettext("And %d on the same idea", "And %d on the same idea", count) % count
    return ngettext("And %d on the same idea:", "And %d on the same idea:", count) % count


def relative(paper, leader) -> str:
    """Return how a paper is called that is folded into another: by its title or, where it is the
    same work, by where it is to be read as well.
    """
    is_same = paper.title.casefold() == leader.title.casefold()
    return shortened(origin(paper) if is_same and paper.link else paper.title, RELATIVE)


def and_more(count: int, named: int) -> str:
    """Return how many of so many are not named, where some are."""
    rest = count - named
    return ngettext("and %d more", "and %d more", rest) % rest if rest > 0 and named else ""


def left_out(count: int) -> str:
    """Return what is said of so many papers for which a letter has no room."""
    return (
        ngettext(
            "%d more paper is on the web: mail programs would cut this letter off.",
            "%d more papers are on the web: mail programs would cut this letter off.",
            count,
        )
        % count
    )


def group(basis: str, group: str | None) -> str:
    """Return the name of the heading under which a pick stands."""
    if group in ("missed", "near") or basis == "second":
        return group or "missed"
    return basis if basis in ("trend", "new") else "own"


def heading(group: str) -> str:
    """Return what stands over a group of papers."""
    headings = {
        "missed": _("You may have missed"),
        "near": _("Close to your interests"),
        "trend": _("Trending"),
        "new": _("New"),
    }
    return headings.get(group) or _("For you")


def why(
    basis: str, topic: str, terms: Sequence[str], votes: int, area: str, group: str | None = None
) -> str:
    """Return the reason for which a paper is in a letter, as it is said to the reader."""
    reason = _why(basis, topic, terms, votes, area)
    # Translators: why a paper is in a letter: it is nearly about a topic, of which it has a word.
    return shortened(_("Close to %s") % reason if group == "near" else reason, WHY)


def _why(basis, topic, terms, votes, area):
    words = ", ".join(terms)
    authors = _authors(topic)
    topic = authors or _readable(topic)
    if basis == "topic" and authors:
        # Translators: why a paper is in a letter: the reader follows a person, who wrote it.
        return _("By %s") % authors
    if basis == "topic":
        # The words are told where they say more than the topic's name, but for such as "of".
        said = _words_of(words)
        is_more = said and said != _words_of(topic)
        return f"{shortened(topic, TOPIC)}: {words}" if is_more else topic
    if basis == "learned" and topic:
        said = _("Like “%s”, which you chose") % shortened(topic, TOPIC)
        return f"{said}: {words}" if words else said
    if basis == "learned":
        return _("Like what you chose: %s") % words if words else _("Like what you chose")
    if basis == "second":
        said = _("Taken off since: %s") % upvotes(votes)
        return f"{said} ({topic})" if topic else said
    if basis == "trend":
        return _("Trending: %s") % upvotes(votes)
    return _("New in %s") % area if area else _("New here")


def _words_of(said):
    """Return the words of a text but for letters and numbers: "k-means" is "means"."""
    return {word for word in WORDS.findall(said.lower()) if len(word) > 1} - STOP_WORDS


def subject(best: str, more: int) -> str:
    """Return the best paper's title, and how many more there are."""
    best = one_line(best) or settings.SITE_NAME
    if REPLY.match(best):
        best = f"“{best}”"
    if not more:
        return shortened(best, SUBJECT)
    rest = " " + ngettext("+ %d more", "+ %d more", more) % more
    return shortened(best, SUBJECT - columns(rest)) + rest


def quiet_subject() -> str:
    """Return the subject of a letter without papers."""
    return _("No new papers for you today")


def preheader(texts: Sequence[str]) -> str:
    """Return what an inbox shows after the subject, which is the first paper's title already.

    That is the next titles, or the first paper's summary where it is the only one.
    """
    last = _("New research papers, each with the reason why it is here")
    return shortened(" · ".join([*filter(None, texts), last])[: 4 * PREHEADER], PREHEADER)


def told(event) -> dict:
    """Return what happened to a paper that was saved: its title, its link, and what is said."""
    said, note = event.get_kind_display(), event.note
    if event.kind == "revised":
        note = note.replace("version ", "v")  # A word of English in a letter of any language.
    return {
        "title": shortened(event.paper.title, 160),
        "link": event.paper.link,
        "said": shortened(f"{said}: {note}" if note else said, 160) + ".",
    }


def names(topics: Sequence[str]) -> str:
    """Return the names of topics on one line, which may be cut."""
    return shortened(", ".join(map(_named, topics)), TOPICS)


@lru_cache(10_000)
def _named(topic):
    """Return a topic's name, or of whom it is to tell. Many letters have the same topics."""
    return shortened(_authors(topic) or _readable(topic), TOPIC)


@lru_cache(10_000)
def _authors(topic):
    """Return the names of those for whom a topic asks, on one line."""
    return ", ".join(asked_for(topic))


#: Readers write LaTeX too: topics such as "$\alpha$-stable processes".
_readable = lru_cache(10_000)(readable)


def clock(hour: int, zone: str) -> str:
    """Return the hour of a digest as people of a zone say it: 07:00 Berlin time."""
    hour = f"{hour:02}:00"
    if zone == "UTC":
        return f"{hour} UTC"
    return _("%(hour)s %(city)s time") % {
        "hour": hour,
        "city": one_line(zone.rpartition("/")[2].replace("_", " ")),
    }


def day(day: date) -> str:
    """Return the day as pages say it: 25 November 2026."""
    return _day(day, translation.get_language())


@lru_cache(10_000)
def _day(day, language):
    return dates.said(day, _("j F Y"))


def weekday(day: date) -> str:
    """Return the day as a letter names it: Wednesday, 25 November."""
    # Translators: a date such as "Wednesday, 25 November", in Django's letters.
    return dates.said(day, _("l, j F"))


def grouped(count: int) -> str:
    """Return a number with its thousands apart, as the language writes it: 1,043, or 1.043."""
    return f"{count:,}".replace(",", formats.get_format("THOUSAND_SEPARATOR"))


def because(site: str, day: date) -> str:
    """Return why she gets the letter who confirmed on that day, as its foot says it."""
    return _(
        "You get this letter because you asked %(site)s for it and confirmed this address "
        "on %(day)s."
    ) % {"site": site, "day": dates.said(day, _("j F Y"))}


def welcome(site: str, hour: int, zone: str, is_daily: bool) -> str:
    """Return what the first digest begins with."""
    if is_daily:
        line = _(
            "Welcome to %(site)s. This is your first digest. From tomorrow on it comes at "
            "%(clock)s, on every day that brings new papers for you."
        )
    else:
        line = _(
            "Welcome to %(site)s. This is your first digest. From tomorrow on it comes at "
            "%(clock)s, on the days you chose that bring new papers for you."
        )
    return line % {"site": site, "clock": clock(hour, zone)}


def caught_up(days: int, considered: int) -> str:
    """Return what a digest begins with, where no papers were looked through for so many days.

    Her last letter may be longer ago: a quiet day brings none, and is looked through all the same.
    """
    said = {"days": days, "considered": grouped(considered)}
    return (
        _(
            "Papers were last looked through for you %(days)d days ago. Here is the best of the "
            "%(considered)s that are new to you."
        )
        % said
    )


def quiet(considered: int, topics: Sequence[str]) -> str:
    """Return what a letter without papers says."""
    if not considered:
        return _("There was no new paper to look at today.")
    if not topics:
        return _("There was nothing today that you have not had.")
    looked = ngettext(
        "%s new paper was looked at, and it is not about what you follow.",
        "%s new papers were looked at, and none is about what you follow.",
        considered,
    )
    return looked % grouped(considered)


def looked(count: int, considered: int, has_topics: bool) -> str:
    """Return how many papers were looked at for a letter. The names of topics go into its "%s"."""
    said = {"count": count, "considered": grouped(max(count, considered)), "topics": "%s"}
    if not has_topics:
        return _("This letter has %(count)d of %(considered)s new papers.") % said
    return _("%(count)d of %(considered)s new papers, chosen for your topics: %(topics)s") % said


def receipt(day: str, announced: int, had: int, is_verified: bool) -> str:
    """Return what arXiv announced and what of it was here; see digest.coverage."""
    said = {
        "day": weekday(date.fromisoformat(day)),
        "announced": grouped(announced),
        "had": grouped(had),
    }
    if is_verified:
        return (
            _("arXiv announced %(announced)s papers on %(day)s; %(had)s of them were looked at.")
            % said
        )
    if not had:
        return (
            _(
                "arXiv’s list of %(day)s had not come in when this was put together. Its papers "
                "are for a later digest."
            )
            % said
        )
    return (
        ngettext(
            "Of arXiv’s list of %(day)s, only %(had)s paper had come in when this was put "
            "together. The rest is for a later digest.",
            "Of arXiv’s list of %(day)s, only %(had)s papers had come in when this was put "
            "together. The rest is for a later digest.",
            had,
        )
        % said
    )


def operators(topic: str) -> list[str]:
    """Return what a topic's text has of AND, OR and NOT, each once and in order.

    >>> operators("graphs OR molecules"), operators('"AND gates", schedules of the OR')
    (['OR'], [])
    >>> operators("graphs, but not molecules"), operators("not only graphs")
    (['NOT'], [])
    >>> operators("how robots learn from videos of people, but not how cars are driven")
    ['NOT']
    """
    unquoted = QUOTED.sub("x", topic.translate(QUOTES))
    found = OPERATOR.findall(unquoted)
    is_few = len(unquoted.split()) <= FEW_WORDS
    if (BUT if is_few else BUT_NOT).search(unquoted) and len(unquoted) <= SHORT_TEXT:
        found.append("NOT")
    return list(dict.fromkeys(found))
