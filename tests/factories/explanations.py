"""Questions of subscribers why a paper is, or isn't, in their digest, and papers to ask about."""

import html
import re

from django.urls import reverse

from digest.planning import plan
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW

ABSTRACT = (
    "We propose a contrastive objective for graph networks on molecules: atoms and bonds are "
    "embedded, augmented views agree, negative pairs repel, and labels of toxicity, solubility and "
    "binding improve over supervised baselines on eleven benchmarks with scaffold splits."
)


def background_papers(count=6, **fields):
    """Make papers about something else, so that the words of others weigh something."""
    for number in range(count):
        make.paper(f"Cooking rice {number}", f"Rice and water in pot {number}.", **fields)


def ask(client, subscriber, asked):
    return client.get(reverse("why", args=[token_of(subscriber)]), {"paper": asked})


def token_of(subscriber):
    return tokens.token("preferences", subscriber.public_id)


def answer(client, subscriber, asked):
    """Return what the page says of the paper, in words."""
    response = ask(client, subscriber, getattr(asked, "pk", asked))
    assert response.status_code == 200
    (said,) = re.findall(
        r'role="status">(.*?)</(?:div|p)>\s*<(?:form|div)', response.content.decode(), re.S
    )
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", said)).split())


def plan_and_send(now=NOW):
    """Plan the digests of a day, of which the mail server took each letter."""
    plan.plan(now)
    Letter.objects.update(state="accepted", ended_at=now)
