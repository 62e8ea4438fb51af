"""Tokens in sent emails, stored hashes and envelope addresses keep working for ever.

The release of November 2026 made the data. For each page, the second token is of a subscriber who
had changed address. If one of these tests fails, change the code, never the data: emails with these
tokens are in mailboxes.
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
from tests.helpers import data_files

FACTS = data_files.load("tokens-2026-11.json")
KEY, PAGES, ANSWERS, MOVES = (FACTS[name] for name in ("secret_key", "pages", "answers", "moves"))
SUBSCRIBER_ID, DIGEST_ID = (uuid.UUID(FACTS[name]) for name in ("subscriber_id", "digest_id"))
ASKED_AT = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
MOVED_AT = datetime(2026, 5, 1, tzinfo=UTC)


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
@pytest.mark.parametrize("token", PAGES["unsubscribe"])
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
    Seal.objects.create(seal=FACTS["suppressed"], reason=Seal.Reason.COMPLAINED, at=ASKED_AT)
    assert suppression_list.contains("Ada@Example.org", ASKED_AT)
    assert not suppression_list.contains("bob@example.org", ASKED_AT)


def test_old_bounce_addresses_name_their_letter():
    assert verp.letter_id_of(FACTS["bounce_address"], ASKED_AT) == 4711


@pytest.mark.django_db
def test_key_of_an_old_installation_is_known():
    heartbeats.beat(FACTS["key_in_use"], ASKED_AT)
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
    } == FACTS["message_ids"]
    assert all(map(message_ids.is_ours, FACTS["message_ids"].values()))
