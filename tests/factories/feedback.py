"""Subscribers who say things of papers of two themes, and what is learned of it."""

from django.urls import reverse

from digest.indexing import model_store
from digest.models import ReaderModel
from digest.personalization import feedback
from digest.planning import plan
from subscriptions.models import Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW, SECOND, TODAY
from tests.factories.themes import MOLECULES, ROADS, others, theme


def two_themes():
    """Papers of last month, and today's of two themes within one topic."""
    past = TODAY - 20 * DAY
    others(day=past)
    themes = {"molecules": MOLECULES, "roads": ROADS}
    world = {name: theme(words, 0, 6, day=past) for name, words in themes.items()}
    world["new"] = theme(MOLECULES, 6, 7) + theme(ROADS, 6, 7)
    model_store.fit(NOW)
    return world


def subscriber(**fields):
    return make.subscriber(interests="graph neural networks", **{"size": 5} | fields)


def say(subscriber, value, *papers, now=NOW):
    """Say it of each, a moment after the other."""
    for number, paper in enumerate(papers):
        feedback.record(subscriber, paper, value, now + number * SECOND)


def taught(subscriber, value, *papers):
    """Say it of each, and have it learned."""
    say(subscriber, value, *papers)
    feedback.learn(NOW + SECOND * len(papers))
    return subscriber


def themes(picks):
    """Return the theme of each paper, in order: m for molecules, r for roads, ? for others."""
    texts = {"m": " ".join(MOLECULES).lower(), "r": " ".join(ROADS).lower()}
    found = []
    for pick in picks:
        subject = pick.paper.title.partition(": ")[2]
        found.append(next((name for name, text in texts.items() if subject in text), "?"))
    return "".join(found)


def picks_of(subscriber):
    """Return what would come today, as rows."""
    _, picks = plan.preview(Subscriber.objects.get(pk=subscriber.pk), TODAY, NOW)
    return [(p.paper_id, p.position, p.score, p.basis, p.topic_name, list(p.terms)) for p in picks]


def themes_of(subscriber):
    _, picks = plan.preview(Subscriber.objects.get(pk=subscriber.pk), TODAY, NOW)
    return themes(picks)


def address(page, subscriber, purpose=None):
    purpose = purpose or ("feedback" if page == "feedback" else "preferences")
    return reverse(page, args=[tokens.token(purpose, subscriber.public_id)])


def weights_of(subscriber):
    """Return all that is stored of them: term -> weight, the heaviest first."""
    row = ReaderModel.objects.filter(subscriber=subscriber).first()
    return dict(zip(row.terms, row.weights, strict=True)) if row else {}


def words_of(subscriber):
    return list(weights_of(subscriber))
