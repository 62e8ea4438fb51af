"""Whom to believe: forged and old addresses, and messages that are no report."""

import pytest

from subscriptions.models import LetterFact
from subscriptions.post import verp
from tests import came_back
from tests.bounces.receiving import DAY, receive, state_of, useless
from tests.came_back import address_of, answer, report
from tests.make import NOW

pytestmark = pytest.mark.django_db


def forged(address):
    local, _, domain = address.partition("@")
    return f"{local[:-1]}{'0' if local[-1] != '0' else '1'}@{domain}"


def test_a_forged_address_changes_nothing_whatever_else_is_right(reader, letter):
    assert receive(report(forged(address_of(letter)), message_id=letter.message_id)) == "useless"
    assert state_of(reader) == "written to"
    assert not LetterFact.objects.exists()
    assert useless() == {"forged": 1}


def test_an_address_of_long_ago_changes_nothing(reader, letter):
    mime = report(address_of(letter), message_id=letter.message_id)
    assert receive(mime, now=NOW + 16 * DAY) == "useless"
    assert state_of(reader) == "written to"
    assert useless() == {"forged": 1}


def test_a_letter_of_long_ago_does_not_come_back_by_its_name_either(settings, reader, letter):
    settings.RECIPIENT_DELIMITER = ""
    mime = report("bounces@x.example", message_id=letter.message_id)
    assert receive(mime, now=NOW + 30 * DAY) == "useless"
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    "message_id",
    ["", "<x@y>", "<digest.2026-13-45.0123456789abcdef0123456789abcdef@paperboy.example>"],
)
def test_a_letter_of_somebody_else_is_none_of_ours(reader, letter, message_id):
    assert receive(report("someone@paperboy.example", message_id=message_id)) == "useless"
    assert useless() == {"foreign": 1}


def test_a_key_that_was_ours_is_believed(settings, reader, letter):
    address = address_of(letter)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert receive(report(address)) == "recorded"


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "Auto-Generated; why"},
        {"X_Autoreply": "yes"},
        {"Precedence": "auto_reply"},
    ],
)
def test_who_is_out_of_office_is_written_to(reader, letter, headers):
    assert receive(answer(address_of(letter), **headers)) == "useless"
    assert state_of(reader) == "written to"
    assert useless() == {"autoreply": 1}


def test_a_message_of_a_person_is_counted_and_no_more(reader, letter):
    for _ in range(2):
        assert receive(answer(address_of(letter), Auto_Submitted="no")) == "useless"
    assert useless() == {"no-report": 2}


def test_a_report_within_a_forwarded_message_is_not_read(reader, letter):
    inner = report(address_of(letter))
    mime = b"To: x@example.org\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n" + inner
    assert receive(mime) == "useless"


def test_verp_is_asked_for_the_delimiter_of_the_operator(settings, reader):
    settings.RECIPIENT_DELIMITER, settings.BOUNCE_ADDRESS = "-", "returned@bounces.example"
    letter = came_back.letter(reader)
    assert verp.names_a_letter(forged(address_of(letter)))
    assert receive(report(forged(address_of(letter)), message_id=letter.message_id)) == "useless"
    assert receive(report(address_of(letter))) == "recorded"
