"""Subscribers, topics, consents, letters, and the state of delivery."""

from subscriptions.models.consents import Consent, Move
from subscriptions.models.delivery import LetterFact, Sending
from subscriptions.models.groups import Group, Invitation, Membership
from subscriptions.models.letters import Letter, LetterEvent, MimeBatch
from subscriptions.models.messages import Message
from subscriptions.models.security import ApiToken, Attempt, Seal
from subscriptions.models.subscribers import Channel, Subscriber, known_zone, languages, zone_names
from subscriptions.models.topics import Topic, TopicPreference, category_slug, without_nul
