"""The phrases of the topics in use, for sources that are searched."""

from itertools import chain

from django.db.models import Count

from digest.interests.entries import ORCID, PAPER, UNREAD
from digest.ranking import query, text
from digest.ranking.authors import queried_names
from subscriptions.models.topics import Topic

MAX_PHRASES = 400
MAX_WORDS = 6  # A line of more is a sentence, which no paper has all words of.


def phrases_in_use() -> list[str]:
    """Return the phrases of topics that subscribers follow, the most followed first, and then of
    topics that are offered. Runs two queries.

    A phrase has words, and in quotes what must be found literally: see EuropePmc. Topics with
    arXiv categories or authors have none.
    """
    text_topics = Topic.objects.filter(categories=[]).exclude(query="")
    text_topics = text_topics.exclude(
        kind__in=(PAPER, ORCID, UNREAD)
    )  # Numbers, links and whole texts.
    followed = text_topics.followed().values_list("query").annotate(followers=Count("pk"))
    topic_queries = [text for text, _ in followed.order_by("-followers", "query")[:MAX_PHRASES]]
    topic_queries += (
        text_topics.offered().order_by("pk").values_list("query", flat=True)[:MAX_PHRASES]
    )
    phrases = dict.fromkeys(chain.from_iterable(map(_phrases, topic_queries)))
    return list(phrases)[:MAX_PHRASES]


def _phrases(topic_query):
    queries = [] if queried_names(topic_query) else query.queries(topic_query)
    lines_by_text = {line.text: line for line in reversed(queries)}
    for line in reversed(lines_by_text.values()):
        # As they are written, because a hyphen separates words elsewhere.
        words = [word for word in text.WORD.findall(line.text.lower()) if text.stems([word])]
        if len(words) <= MAX_WORDS:
            yield " ".join([*dict.fromkeys(words), *(f'"{quote}"' for quote in line.quotes)])
