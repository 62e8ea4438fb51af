"""Subscribers, topics, consents, letters, and the state of delivery."""

from subscriptions.models.consents import Consent, Move
from subscriptions.models.guards import Attempt, Seal
from subscriptions.models.subscribers import Subscriber, known_zone, languages, zone_names
from subscriptions.models.topics import Topic, TopicPreference, arxiv_slug, without_nul
from subscriptions.post.facts import LetterFact, UselessMail
from subscriptions.post.letters import Letter, LetterEvent, Volley
from subscriptions.post.providers import Provider
from subscriptions.post.sending import Sending

__all__ = [
    "Attempt",
    "Consent",
    "Letter",
    "LetterEvent",
    "LetterFact",
    "Move",
    "Provider",
    "Seal",
    "Sending",
    "Subscriber",
    "Topic",
    "TopicPreference",
    "UselessMail",
    "Volley",
    "arxiv_slug",
    "known_zone",
    "languages",
    "without_nul",
    "zone_names",
]
