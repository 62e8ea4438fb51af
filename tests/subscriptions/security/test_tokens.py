"""Tokens: who holds one got it from us, for one purpose."""

import logging
import re
import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.middleware import RedactingFormatter
from subscriptions.mail import mime
from subscriptions.models import Subscriber
from subscriptions.security import tokens
from tests.factories.make import NOW

PURPOSES = ["confirm", "goodbye", "bounced", "move-old", "move-new"]
PURPOSES += ["preferences", "unsubscribe", "digest", "feedback"]
IDS = st.uuids()


@given(st.sampled_from(PURPOSES), IDS)
def test_token_without_a_change_equals_the_earlier_one(purpose, public_id):
    subscriber = Subscriber(public_id=public_id)
    assert tokens.own_token(purpose, subscriber) == tokens.token(purpose, public_id)
    of_each = [{purpose: tokens.token(purpose, public_id)}]
    assert tokens.tokens([purpose], [(public_id, None)]) == of_each


@given(IDS, IDS, st.integers(0, 2**31 * 10**6))
def test_token_after_a_change_has_its_time(public_id, thing, moment):
    moved_at = tokens.EPOCH + timedelta(microseconds=moment + 2**30 * 10**6)
    subscriber = Subscriber(public_id=public_id, moved_at=moved_at)
    for name, token in (
        (public_id, tokens.own_token("preferences", subscriber)),
        (thing, tokens.own_token("preferences", subscriber, thing)),
    ):
        assert tokens.parse_token("preferences", token) == (name, moment // 10**6 + 2**30)
        assert mime.TOKEN.match(f"/{token}/")[1] == token
        assert len(token) <= mime.WIDTH


def test_closed_token_cannot_be_made_younger():
    subscriber = Subscriber(moved_at=NOW)
    older, younger = (
        tokens.own_token("feed", subscriber) for subscriber in (Subscriber(), subscriber)
    )
    for forged in (
        f"{younger.rpartition('.')[0]}.{older.rpartition('.')[2]}",
        older.replace(".", "~ffffffff."),
        older.replace(".", "~."),
    ):
        with pytest.raises(tokens.BadToken):
            tokens.parse_token("feed", forged)


@given(public_id=IDS, data=st.data())
def test_token_with_a_flipped_bit_is_invalid(public_id, data):
    token = tokens.token("preferences", public_id).encode()
    place = data.draw(st.integers(0, len(token) - 1))
    bit = data.draw(st.integers(0, 6))
    flipped = bytearray(token)
    flipped[place] ^= 1 << bit
    with pytest.raises(tokens.BadToken):
        tokens.parse_token("preferences", flipped.decode())


def test_truncated_or_extended_token_is_invalid():
    token = tokens.token("preferences", uuid.uuid4())
    ends = ("=", ".", "/", " ", "\n", "~0", token)
    for other in (
        *(token[:length] for length in range(len(token))),
        *(token + end for end in ends),
    ):
        with pytest.raises(tokens.BadToken):
            tokens.parse_token("preferences", other)


@given(st.text())
def test_random_text_is_no_token(text):
    with pytest.raises(tokens.BadToken):
        tokens.parse_token("unsubscribe", text)
    for read in (tokens.read_confirm, tokens.read_move):
        with pytest.raises(tokens.BadToken):
            read(text, NOW)


def test_age_of_a_confirmation_cannot_be_changed():
    token = tokens.token("confirm", uuid.uuid4(), NOW)
    younger = re.sub("~[0-9a-f]+", f"~{2**52:x}", token)
    with pytest.raises(tokens.BadToken):
        tokens.read_confirm(younger, NOW)


QUESTIONS = [(f"move-{which}", which, tokens.read_move) for which in ("old", "new")]
QUESTIONS += [("confirm", "confirm", tokens.read_confirm)]


@pytest.mark.parametrize(("purpose", "answer", "read"), QUESTIONS)
def test_question_expires_after_seven_days(purpose, answer, read):
    public_id, asked_at = uuid.uuid4(), NOW.replace(microsecond=123_456)
    token = tokens.token(purpose, public_id, asked_at)
    last = asked_at + timedelta(days=7)
    assert read(token, last) == (answer, public_id, asked_at)
    with pytest.raises(tokens.ExpiredToken):
        read(token, last + timedelta(microseconds=1))
    with pytest.raises(tokens.BadToken):  # It could be used for ever.
        read(tokens.token(purpose, public_id), NOW)


def log(message, *args, exc_info=None):
    """Return the line as it is logged."""
    exc_info = (type(exc_info), exc_info, exc_info.__traceback__) if exc_info else None
    record = logging.LogRecord("test", logging.ERROR, "", 0, message, args, exc_info)
    return RedactingFormatter("%(message)s").format(record)
