"""A digest that surely never left is planned anew, and no other, whoever asks and how often."""

import random
import re
import socket
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import transaction

from digest import planning, replanning
from digest.models import Digest, Pick
from subscriptions import changing, operating, signup
from subscriptions.models import Letter, LetterFact, Subscriber
from subscriptions.post import delivery, ledger, message_ids, office
from tests import make, services
from tests.make import NOW
from tests.promised import broken
from tests.smtp_server import Conversation, MailServer
from tests.threads import at_once, errors_of

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LATER = NOW + HOUR
DOOR = signup.Door("test")
State = Letter.State
REFUSAL = b"554 5.7.1 not from you\r\n"


@pytest.fixture
def server(settings):
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        yield server
        server.shutdown()


def reader(email="reader@example.org", **fields):
    """Make a reader of long standing with a digest of today, with two papers."""
    for number in range(2):
        make.paper(f"Graphs number {number}")
    make.paper("Bread", day=NOW.date() - 30 * DAY)  # The model knows the word.
    fields = {"interests": "graphs", "confirmed_at": NOW - 40 * DAY} | fields
    made = make.subscriber(email, **fields)
    planning.plan(NOW)
    made.refresh_from_db()
    return made


def ended(subscriber, state, reason, **fields):
    """End her letter of today in this state, by way of the ledger."""
    letter = Letter.objects.get(subscriber=subscriber)
    ledger.end([letter], state, reason, NOW + MINUTE, **fields)
    return letter


def deliver(now=LATER):
    return delivery.deliver_due(lambda: now)


def refusal(subscriber, now=LATER):
    """Return why nothing is planned anew. Nothing has changed then."""
    before = everything()
    with pytest.raises(replanning.Refused) as refused:
        replanning.plan_anew(Subscriber.objects.get(pk=subscriber.pk), now)
    assert everything() == before
    told = replanning.why_not(Subscriber.objects.get(pk=subscriber.pk), now)
    assert told == str(refused.value) or (told == "" and "no paper" in str(refused.value))
    return str(refused.value)


def everything():
    tables = (Letter, Digest, Pick, Subscriber, Letter._meta.get_field("events").related_model)
    return [list(table.objects.order_by("pk").values()) for table in tables]


# ---- What surely never left


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_what_the_mail_server_refused_arrives_once_when_it_is_planned_anew(server, stage):
    subscriber = reader()
    server.replies[stage] = REFUSAL
    deliver(NOW)
    (refused,) = Letter.objects.all()
    assert (refused.state, Pick.objects.count()) == ("failed", 0)
    server.replies.clear()
    server.accepted.clear()

    replanning.plan_anew(subscriber, LATER)
    assert deliver()["accepted"] == 1

    ((whom, mime),) = server.accepted
    assert whom == "reader@example.org"
    assert b"Graphs number" in mime
    (letter,) = Letter.objects.all()
    assert letter.message_id == (refused.message_id or letter.message_id)
    assert Pick.objects.count() == 2
    steps = ["planned", "claimed", "failed", "planned", "claimed", "transmitting", "accepted"]
    if stage == "dot":
        steps.insert(2, "transmitting")
    assert [event.became for event in letter.events.all()] == steps
    assert [event.note for event in letter.events.all()].count("planned anew") == 1
    assert broken(LATER) == {}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.FAILED, "refused: 554 5.7.1 no"),
        (State.FAILED, "broken: it could not be written"),
        (State.SKIPPED, "paused"),
        (State.SKIPPED, "suppressed"),
        (State.MISSED, "its day ended first"),
    ],
)
def test_whatever_kept_it_from_leaving_it_is_written_with_the_papers_of_now(state, reason):
    subscriber = reader()
    letter = ended(subscriber, state, reason)
    make.paper("Graphs number 3")
    replanning.plan_anew(subscriber, LATER)
    letter.refresh_from_db()
    assert (letter.state, letter.reason, letter.ended_at) == ("planned", "", None)
    assert Pick.objects.count() == 3
    assert Digest.objects.get().considered == 3
    assert broken(LATER) == {}


def test_a_quiet_day_to_which_papers_came_late_is_no_longer_quiet():
    subscriber = reader(interests="bread")
    Letter.objects.update(state="skipped", reason="nothing to say", ended_at=NOW, kind="digest")
    subscriber.letters.get().events.update(became="skipped")
    assert refusal(subscriber) == "no paper is new to her"
    make.paper("Bread")
    replanning.plan_anew(subscriber, LATER)
    assert Pick.objects.get().paper.title == "Bread"


def test_a_welcome_stays_one_where_no_paper_has_come_and_else_is_a_digest():
    subscriber = reader(interests="bread")
    assert ended(subscriber, State.FAILED, "refused: no").kind == "welcome"
    assert replanning.plan_anew(subscriber, LATER).kind == "welcome"
    ended(subscriber, State.FAILED, "refused: no")
    make.paper("Bread")
    assert replanning.plan_anew(subscriber, LATER).kind == "digest"


def test_one_that_broke_again_and_again_goes_on_alone_and_is_given_up_again():
    subscriber = reader()
    Letter.objects.update(stumbles=ledger.MAX_STUMBLES)
    ended(subscriber, State.FAILED, "broken: it could not be written")
    letter = replanning.plan_anew(subscriber, LATER)
    assert ledger.suspects(LATER) == [letter.pk]
    for _ in range(ledger.MAX_STUMBLES - ledger.SUSPECT):
        ledger.stumble(letter, LATER)
    letter.refresh_from_db()
    assert (letter.state, Pick.objects.count()) == ("failed", 0)


def test_the_next_digest_keeps_its_distance_and_repeats_no_paper(server):
    subscriber = reader(hour=7)
    ended(subscriber, State.FAILED, "refused: no")
    evening = NOW.replace(hour=23)
    replanning.plan_anew(subscriber, evening)
    deliver(evening)
    make.paper("Graphs of tomorrow", day=NOW.date() + DAY, now=evening)
    planning.plan(NOW + 19 * HOUR)
    assert Letter.objects.count() == 1
    planning.plan(evening + 12 * HOUR)
    assert [pick.paper.title for pick in Digest.objects.first().picks.all()] == [
        "Graphs of tomorrow"
    ]


# ---- What left, or may have


def test_what_was_sent_is_not_sent_a_second_time(server):
    subscriber = reader()
    deliver(NOW)
    assert refusal(subscriber).startswith("it was sent on 1 Jun 2026")
    deliver(NOW + 2 * HOUR)
    assert len(server.accepted) == 1


@pytest.mark.parametrize("state", [State.PLANNED, State.CLAIMED, State.TRANSMITTING])
def test_what_is_on_its_way_is_left_to_itself(state):
    subscriber = reader()
    Letter.objects.update(state=state)
    assert refusal(subscriber) == replanning.UNTOUCHED[state]


def test_what_is_in_doubt_is_not_sent_nor_ever_once_it_was(server):
    subscriber = reader("drop-dot@example.org")
    deliver(NOW)
    assert refusal(subscriber) == replanning.UNTOUCHED[State.UNCERTAIN]
    (letter,) = Letter.objects.all()
    for state, sure in [("failed", False), ("failed", True), ("skipped", True)]:
        with transaction.atomic():
            ledger.end([letter], state, "refused: no", LATER, surely_never_left=sure)
            assert "in doubt" in refusal(subscriber)
            transaction.set_rollback(True)
        letter.state = State.UNCERTAIN


@pytest.mark.parametrize(
    "fields", [{"repeats": 1}, {"state": "failed", "reason": "unknown: the server never answered"}]
)
def test_a_repeat_and_an_unknown_end_are_doubts(fields):
    subscriber = reader()
    letter = ended(subscriber, State.FAILED, "refused: no", surely_never_left=False)
    Letter.objects.filter(pk=letter.pk).update(**fields)
    assert "may have arrived" in refusal(subscriber)


def test_of_what_anything_came_back_it_had_left():
    subscriber = reader()
    letter = ended(subscriber, State.FAILED, "refused: no")
    LetterFact.objects.create(letter=letter, kind="delivered", noted_at=NOW, via="mail", key="x")
    assert "in doubt" in refusal(subscriber)


def test_where_its_steps_are_not_kept_nobody_knows():
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no").events.all().delete()
    assert "in doubt" in refusal(subscriber)


# ---- Who, and when


@pytest.mark.parametrize(
    "fields",
    [
        {"paused_until": NOW.date() + 9 * DAY},
        {"unsubscribed_at": NOW},
        {"suppressed_at": NOW},
        {"confirmed_at": None},
    ],
)
def test_nothing_goes_to_who_gets_no_digest(fields):
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no")
    Subscriber.objects.update(**fields)
    subscriber.refresh_from_db()
    assert refusal(subscriber) == f"she is {subscriber.state_at(LATER)}"


def test_a_day_that_has_ended_does_not_come_back():
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no")
    Subscriber.objects.update(next_due_at=NOW + 9 * DAY)
    assert "of a day that has not ended" in refusal(subscriber, NOW + 18 * HOUR)


def test_while_the_next_is_due_it_is_left_to_that():
    subscriber = reader(hour=7)
    ended(subscriber, State.FAILED, "refused: no")
    assert refusal(subscriber, NOW.replace(hour=7) + DAY - HOUR) != ""
    Subscriber.objects.update(next_due_at=LATER)
    assert refusal(subscriber) == "her next one is being planned"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": "accepted", "left_at": NOW - HOUR}, "from 23:00 UTC on it may"),
        ({"state": "uncertain", "next_try_at": LATER}, "another digest is on its way"),
        ({"state": "planned", "next_try_at": LATER}, "another digest is on its way"),
    ],
)
def test_nobody_gets_two_in_a_row(fields, reason):
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no")
    Letter.objects.create(
        subscriber=subscriber,
        kind="digest",
        day=NOW.date() - DAY,
        created_at=NOW - HOUR,
        closes_at=NOW + 2 * HOUR,
        **fields,
    )
    assert reason in refusal(subscriber)


def test_a_digest_of_another_is_no_reason_against_hers():
    subscriber, other = reader(), make.subscriber("other@example.org")
    ended(subscriber, State.FAILED, "refused: no")
    day, closes_at = NOW.date() + DAY, NOW + 2 * DAY
    letter = Letter.objects.create(
        subscriber=other, kind="digest", day=day, created_at=NOW, closes_at=closes_at
    )
    Digest.objects.create(subscriber=other, day=day, letter=letter)
    assert replanning.why_not(subscriber, LATER) == ""
    replanning.plan_anew(subscriber, LATER)
    assert set(Pick.objects.values_list("subscriber", flat=True)) == {subscriber.pk}


def test_one_who_was_changed_while_it_was_ranked_is_left_alone(monkeypatch):
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no")
    rank = planning.ranked_for

    def leave_meanwhile(*told):
        signup.unsubscribe(subscriber.public_id, door=DOOR, now=LATER)
        return rank(*told)

    monkeypatch.setattr(planning, "ranked_for", leave_meanwhile)
    with pytest.raises(replanning.Refused):
        replanning.plan_anew(subscriber, LATER)
    assert not Letter.objects.open().exclude(kind="goodbye").exists()
    assert not Pick.objects.exists()


def test_one_who_was_planned_for_while_it_was_ranked_is_left_alone(monkeypatch):
    """The planner has ranked the same papers for her next day: they must not stand in both."""
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no")
    rank = planning.ranked_for

    def plan_meanwhile(*told):
        Subscriber.objects.update(next_due_at=NOW + 2 * DAY)
        return rank(*told)

    monkeypatch.setattr(planning, "ranked_for", plan_meanwhile)
    with pytest.raises(replanning.Refused, match="changed in this moment"):
        replanning.plan_anew(subscriber, LATER)
    assert not Pick.objects.exists()


@pytest.mark.parametrize("has_left", [False, True])
def test_one_that_is_planned_anew_while_the_next_is_ranked_is_not_overtaken(has_left, monkeypatch):
    """It was asked for a second before that was due."""
    subscriber = reader(hour=5, wants_quiet_days=True)
    ended(subscriber, State.FAILED, "refused: no")
    due_at = Subscriber.objects.get().next_due_at
    assert Letter.objects.get().closes_at > due_at
    rank = planning.propose

    def plan_anew_meanwhile(*told):
        replanning.plan_anew(subscriber, due_at - timedelta(seconds=1))
        if has_left:
            deliver(due_at)
        return rank(*told)

    with monkeypatch.context() as patched:
        patched.setattr(planning, "propose", plan_anew_meanwhile)
        assert planning.plan(due_at).letters == 0
    deliver(due_at)
    assert Letter.objects.get().state == "accepted"
    assert planning.plan(due_at + MINUTE).letters == 0
    assert Subscriber.objects.get().next_due_at == due_at + 12 * HOUR


def test_she_leaves_after_it_was_planned_anew_and_nothing_is_sent(server):
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no")
    replanning.plan_anew(subscriber, LATER)
    signup.unsubscribe(subscriber.public_id, door=DOOR, now=LATER)
    deliver()
    assert b"Graphs" not in b"".join(mime for _, mime in server.accepted)
    assert not Pick.objects.exists()


def test_a_worker_that_slept_through_it_can_change_nothing():
    subscriber = reader()
    with transaction.atomic():
        (asleep,), _ = ledger.claim(NOW, 1)
    ledger.end([Letter.objects.get()], State.FAILED, "broken: it could not be written", NOW)
    replanning.plan_anew(subscriber, LATER)
    frozen = {asleep.pk: ledger.Frozen(b"x", "<x@example.org>", NOW)}
    for _ in range(2):
        with transaction.atomic():
            assert not ledger.fence([asleep], frozen, NOW).passed
            ledger.claim(LATER, 1)
    assert Letter.objects.get().attempt == 2


@pytest.mark.django_db(transaction=True)
def test_of_twenty_operators_one_plans_it_anew_and_one_letter_arrives(server):
    subscriber = reader()
    ended(subscriber, State.FAILED, "refused: no")
    came_of = at_once(*20 * [lambda: replanning.plan_anew(subscriber, LATER)])
    assert len(errors_of(came_of)) == 19
    assert {type(error) for error in errors_of(came_of)} == {replanning.Refused}
    at_once(*3 * [deliver])
    assert len(server.accepted) == 1
    assert Pick.objects.count() == 2
    assert broken(LATER) == {}


# ---- Whatever is clicked, and whatever the mail server says


class Moody(Conversation):
    """Answers as `server.mood` says: takes a letter, refuses it, puts it off, or hangs up after the
    dot, whether it kept the letter or not.
    """

    def answer(self, stage, usual, recipient=""):
        mood = self.server.mood
        if stage == "dot" and mood.startswith("lost"):
            if mood == "lost":
                self.server.accepted.pop()
            self.connection.shutdown(socket.SHUT_RDWR)
            return False
        if mood == f"refuse at {stage}":
            self.say(REFUSAL)
        elif mood == f"put off at {stage}":
            self.say(b"451 4.7.1 later\r\n")
        else:
            self.say(usual)
            return True
        if stage == "dot":
            self.server.accepted.pop()
        return False


MOODS = [
    *("well", "well", "lost", "lost but kept", "refuse at rcpt", "refuse at data", "refuse at dot"),
    *("put off at rcpt", "put off at dot"),
]


@pytest.mark.parametrize(
    "seed",
    [
        0,
        pytest.param(1, marks=services.once),
        *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 30)),
    ],
)
def test_no_day_arrives_twice_but_by_a_counted_repeat_whatever_is_clicked(server, seed):
    """After each step all promises hold, and nothing is planned anew that the server has taken."""
    walk, now = random.Random(seed), NOW
    server.RequestHandlerClass, server.mood = Moody, "well"
    subscriber = reader("you@example.org", wants_quiet_days=True)
    until = NOW.date() + 9 * DAY
    clicks = {
        "deliver": lambda: deliver(now),
        "sweep": lambda: office.sweep(now),
        "pause": lambda: changing.pause(subscriber, until, now=now),
        "resume": lambda: changing.resume(subscriber, now=now),
        "suppress": lambda: operating.suppress(subscriber, "why", now=now),
        "lift": lambda: operating.lift(subscriber, now=now),
        "paper": lambda: make.paper(f"Graphs of {now}", day=now.date(), now=now),
    }
    for _ in range(60):
        server.mood = walk.choice(MOODS)
        now += walk.choice([MINUTE, 16 * MINUTE, 16 * MINUTE, HOUR, 5 * HOUR])
        subscriber.refresh_from_db()
        if walk.random() < 0.3:
            press(subscriber, server, now)
        else:
            clicks[walk.choice([*clicks, "deliver", "deliver", "sweep", "lift", "resume"])]()
        bodies = b"".join(mime for _, mime in server.accepted)
        arrived = Counter(re.findall(rb"Message-ID: (<[^>]+>)", bodies))
        repeats = dict(Letter.objects.values_list("message_id", "repeats"))
        for name, count in arrived.items():
            assert count <= 1 + repeats[name.decode()], name
        planning.plan(now)  # As each minute does.
        office.sweep(now)
        assert broken(now) == {}


def press(subscriber, server, now):
    """Press the button. What is planned anew then, has never arrived."""
    arrived = b"".join(mime for _, mime in server.accepted)
    with suppress(replanning.Refused):
        letter = replanning.plan_anew(subscriber, now)
        assert message_ids.of(letter).encode() not in arrived
