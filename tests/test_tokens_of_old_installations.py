"""Tokens in sent emails, stored hashes and envelope addresses keep working for ever.

The literals were made by the release of November 2026. If one of these tests fails, change the
code, never the literal: emails with these tokens are in mailboxes.
"""

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from digest.models import Digest
from digest.operations import heartbeats
from subscriptions.delivery import message_ids, verp
from subscriptions.models import Letter, Seal, Subscriber
from subscriptions.security import suppression_list, tokens
from tests.factories import make, returned_mail

KEY = "the-key-of-an-old-installation-0123456789"
SUBSCRIBER_ID = uuid.UUID("0123456789abcdef0123456789abcdef")
DIGEST_ID = uuid.UUID("fedcba9876543210fedcba9876543210")
ASKED_AT = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
MOVED_AT = datetime(2026, 5, 1, tzinfo=UTC)
ANSWERS = {
    "confirm": "ASNFZ4mrze8BI0VniavN7w~6532fef196090.nuHTZ0yDElvsNi0dCAV0GEPOCee2bAIBlIGSGeik7rw",
    "goodbye": "ASNFZ4mrze8BI0VniavN7w~6532fef196090.IFLYWHHo1JuYzgeTf9Sa59pzm4p-1tJccYYrKG3dlqM",
    "bounced": "ASNFZ4mrze8BI0VniavN7w~6532fef196090.ntrLMwxGJ1UKFc1oFo5yqVIXqOY7YSNk8vPbAfg4rpM",
}
MOVES = {
    "old": "ASNFZ4mrze8BI0VniavN7w~6532fef196090.McUHurOkedl3YZiYUgOrEQNlQIlkVgO4dHvEtsdw0hA",
    "new": "ASNFZ4mrze8BI0VniavN7w~6532fef196090.6-xtDY29fBl9zIB1jRYtmrEVIpwwEwnvYuCNcgSIMG0",
}
PREFERENCES = [
    "ASNFZ4mrze8BI0VniavN7w._CS6ILmgFm8pAnago2l5FLaMpTl9mF730ttfJvPjl3o",
    "ASNFZ4mrze8BI0VniavN7w~69f3ed00.lArkJL-7476u1hWvZYWaoAzW0A09T0Nl-FPrPd8M6xs",
]
UNSUBSCRIBE = [
    "ASNFZ4mrze8BI0VniavN7w.HSqJJPP8xMoe48T1aMWXQUAka-tdd2XAMVHLGqYqFGk",
    "ASNFZ4mrze8BI0VniavN7w~69f3ed00.J6bIvkzDH6F7YQpFlf4Z6fX8pXnW5WzRp2lhnY04gJE",
]
FEEDBACK = [
    "ASNFZ4mrze8BI0VniavN7w.wpsm_3pbOTtvCw1JKiCHuqmty0kkaLc6M-JBKJ3gmZ8",
    "ASNFZ4mrze8BI0VniavN7w~69f3ed00.-ObYuvoO3oDBakpMhagyTSoLr8OWAoSEHz25mc1vn4c",
]
FEED = [
    "ASNFZ4mrze8BI0VniavN7w.5ALXmNy8pSbdZYCLdlyWnv5_MaYfTds9nbdwfRk0vW0",
    "ASNFZ4mrze8BI0VniavN7w~69f3ed00.sJb4U9WWyAUD5FoGS0gBXridHIq0GWzrbqML1XFtgjI",
]
DIGEST = [
    "_ty6mHZUMhD-3LqYdlQyEA.yKwZi2Pe_PLu-qZTgyrEPZ6uNvPy-iEtw9rERL2zzqU",
    "_ty6mHZUMhD-3LqYdlQyEA~69f3ed00.PfueaDMio2dR3uZEFbYZDdxzMOsO7Wh3E4z72sNAX60",
]
PAGES = {
    "preferences": PREFERENCES,
    "saved": PREFERENCES,
    "library": PREFERENCES,
    "learned": PREFERENCES,
    "why": PREFERENCES,
    "unsubscribe": UNSUBSCRIBE,
    "feedback": FEEDBACK,
    "feeds": FEED,
    "digests": DIGEST,
}
SUPPRESSED = "f1d21c7c171f6fe20a46850a6fc7176b5dbae4444ae232259cd7794e14ee2c19"
BOUNCE_ADDRESS = "bounces+1267.927.b5835a0f85d6ed5d@papers.example.org"
KEY_IN_USE = "key:0b0751f16fffc538"
MESSAGE_IDS = {
    "digest": "<digest.2026-06-01.fc7e55be63558534e80bb0c68d4307ba@papers.example.org>",
    "confirm": "<confirm.2026-06-01.c96160bf1987590b804e77760478c30b@papers.example.org>",
    "move": "<move.2026-06-01.2999dce4e3faa1844b708d562a83d8b5@papers.example.org>",
}


@pytest.fixture(autouse=True, params=["key", "fallback"])
def installation(request, settings):
    """The old key is the key, or one of those before it."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = KEY, []
    if request.param == "fallback":
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a newer key" * 4, [KEY]
    settings.MAIL_DOMAIN = "papers.example.org"
    settings.BOUNCE_ADDRESS, settings.RECIPIENT_DELIMITER = "bounces@papers.example.org", "+"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("page", "token", "has_moved"),
    [(page, token, bool(moved)) for page in PAGES for moved, token in enumerate(PAGES[page])],
)
def test_links_in_old_emails_open_their_pages(client, page, token, has_moved):
    moved_at = MOVED_AT if has_moved else None
    subscriber = make.subscriber(public_id=SUBSCRIBER_ID, moved_at=moved_at)
    letter = returned_mail.letter(subscriber)
    Digest.objects.create(public_id=DIGEST_ID, subscriber=subscriber, letter=letter, day=letter.day)
    assert client.get(f"/{page}/{token}/").status_code == 200
    assert client.get(f"/{page}/{token[:-3]}aaa/").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("token", UNSUBSCRIBE)
def test_old_links_unsubscribe_with_one_click(client, token):
    make.subscriber(public_id=SUBSCRIBER_ID)
    answer = client.post(f"/unsubscribe/{token}/", {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert Subscriber.objects.get().unsubscribed_at


@pytest.mark.parametrize("kind", ANSWERS)
def test_old_questions_can_be_answered(kind):
    answer = tokens.read_confirm(ANSWERS[kind], ASKED_AT + timedelta(days=6))
    assert answer == (kind, SUBSCRIBER_ID, ASKED_AT)


@pytest.mark.parametrize("side", MOVES)
def test_old_changes_of_address_can_be_confirmed(side):
    answer = tokens.read_move(MOVES[side], ASKED_AT + timedelta(days=6))
    assert answer == (side, SUBSCRIBER_ID, ASKED_AT)


@pytest.mark.django_db
def test_suppressed_addresses_stay_suppressed():
    Seal.objects.create(seal=SUPPRESSED, why=Seal.Why.COMPLAINED, at=ASKED_AT)
    assert suppression_list.contains("Ada@Example.org", ASKED_AT)
    assert not suppression_list.contains("bob@example.org", ASKED_AT)


def test_old_bounce_addresses_name_their_letter():
    assert verp.letter_id_of(BOUNCE_ADDRESS, ASKED_AT) == 4711


@pytest.mark.django_db
def test_key_of_an_old_installation_is_known():
    heartbeats.beat(KEY_IN_USE, ASKED_AT)
    assert heartbeats.last_unknown_key(ASKED_AT) is None


def test_message_ids_equal_those_of_old_emails(settings):
    settings.SECRET_KEY = KEY  # Made with the key in use: `reconcile` looks for these.
    subscriber = Subscriber(public_id=SUBSCRIBER_ID)
    confirm = Letter(kind="confirm", subscriber=subscriber, created_at=ASKED_AT)
    move = Letter(kind="move", subscriber=subscriber, created_at=ASKED_AT, to="new@example.org")
    assert {
        "digest": message_ids.for_digest(SUBSCRIBER_ID, date(2026, 6, 1)),
        "confirm": message_ids.for_letter(confirm),
        "move": message_ids.for_letter(move),
    } == MESSAGE_IDS
    assert all(map(message_ids.is_ours, MESSAGE_IDS.values()))
