"""People leave while their letters are on their way (fault 57).

Only what is past the final check may still arrive, and the page says so.
"""

import threading
import time
from functools import partial

import pytest
from django.db import connection

from subscriptions.actions import signup
from subscriptions.delivery import sweep, transitions
from subscriptions.delivery.transactions import Transactions
from subscriptions.models import Letter, Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, HOUR, MINUTE, NOW
from tests.helpers.threads import at_once, errors_of
from tests.subscriptions.delivery.worker.due_digests import MANY, ODD, deliver, digests, states
from tests.subscriptions.delivery.worker.held_locks import another_session, on_postgresql

pytestmark = pytest.mark.django_db
HELD = "held@elsewhere.example"

# ---- A subscriber's row that somebody holds


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_letter_of_a_locked_subscriber_is_sent_a_minute_later(server):
    letter = digests(HELD)
    with another_session() as form:  # As one that is being saved.
        form.execute("SELECT 1 FROM subscriptions_subscriber WHERE email = %s FOR UPDATE", [HELD])
        deliver()
    assert states() == {"accepted": MANY, "planned": 1}
    assert make.fresh(letter).failed_attempts == 0
    deliver(NOW + 2 * MINUTE)
    assert states() == {"accepted": MANY + 1}


# ---- Leaving (fault 57): only what is past the final check may still arrive, and the page says so

ON_ITS_WAY = "1 email was already on its way and may still arrive"


def leave(client, letter):
    """Leave by the link in the letter. Return whether the page says that one is on its way."""
    token = tokens.token("unsubscribe", letter.subscriber.public_id)
    response = client.post(f"/unsubscribe/{token}/")
    assert response.status_code == 200
    return ON_ITS_WAY in response.content.decode()


def digests_taken(server, email):
    """Return how many digests the server took for somebody; a goodbye is none."""
    return sum(to == email and b"\r\nSubject: Papers\r\n" in mime for to, mime in server.accepted)


@pytest.mark.parametrize("is_written", [False, True])
def test_leaving_before_rendering_stops_the_letter(server, client, written, is_written):
    letter = digests(ODD)
    said = []
    if is_written:
        written[ODD] = lambda letter: said.append(leave(client, letter))
    else:
        said.append(leave(client, letter))
    deliver()
    assert said == [False]
    assert (make.fresh(letter).state, letter.reason) == ("skipped", "unsubscribed")
    assert "transmitting" not in letter.events.values_list("new_state", flat=True)
    assert digests_taken(server, ODD) == 0
    assert states() == {"accepted": MANY, "skipped": 1}


def test_leaving_after_the_final_check_announces_one_email(server, client, monkeypatch):
    letter = digests(ODD)
    said = []
    commit_batch = Transactions.commit_batch

    def commit_and_leave(transactions, accepted, check_queue, **options):
        committed = commit_batch(transactions, accepted, check_queue, **options)
        if letter in [flight.letter for flight in check_queue]:
            said.append(leave(client, letter))
        return committed

    monkeypatch.setattr(Transactions, "commit_batch", commit_and_leave)
    deliver()
    assert said == [True]
    assert digests_taken(server, ODD) == 1
    assert states() == {"accepted": MANY + 1}


def test_leaving_with_an_uncertain_letter_prevents_its_resend(server, client):
    letter = digests("drop-dot@elsewhere.example")
    dots = []
    server.before_dot_reply = dots.append
    deliver()
    assert leave(client, letter) is True
    sweep.sweep(NOW + HOUR)
    deliver(NOW + HOUR)
    assert make.fresh(letter).state == "failed"
    goodbyes = Letter.objects.filter(kind="goodbye", events__new_state="transmitting").count()
    assert dots.count("drop-dot@elsewhere.example") == 1 + goodbyes


@pytest.mark.slow
@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_unsubscribing_waits_for_a_running_final_check(server, client, monkeypatch):
    """Their click comes between the final check's UPDATE and its COMMIT."""
    letter = digests(ODD)
    said, began = [], threading.Event()
    # Else the page might announce a letter that had arrived by then.
    server.before_dot_reply = lambda recipient: recipient == ODD and time.sleep(0.5)

    def click():
        began.set()
        said.append(leave(client, letter))
        connection.close()

    thread = threading.Thread(target=click)
    final_check = transitions.final_check

    def pass_and_wait(letters, *args):
        checked = final_check(letters, *args)
        if letter in checked.passed:
            thread.start()
            began.wait(5)
            thread.join(0.3)
            assert said == []  # They wait for the lock.
        return checked

    monkeypatch.setattr(transitions, "final_check", pass_and_wait)
    deliver()
    thread.join(30)
    assert said == [True]
    assert digests_taken(server, ODD) == 1


@pytest.mark.django_db(transaction=True)
def test_unsubscribed_subscriber_gets_no_dot_afterwards(server):
    """A race: on SQLite its orders are few, on PostgreSQL many."""
    digests(count=20)
    dots, answered = {}, {}
    server.before_dot_reply = lambda recipient: dots.setdefault(recipient, time.monotonic())
    subscribers = list(Subscriber.objects.order_by("pk"))

    def leave_one_by_one(mine):
        for subscriber in mine:
            time.sleep(0.003)
            left = signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=NOW)
            answered[subscriber.email] = (left, time.monotonic())

    def work():
        deliver(ids=[letter.pk for letter in Letter.objects.filter(kind="digest")])

    leaving = [partial(leave_one_by_one, subscribers[place::4]) for place in range(4)]
    assert errors_of(at_once(work, *leaving)) == []
    assert len(answered) == 20
    late = [email for email, (left, at) in answered.items() if not left and dots.get(email, 0) > at]
    assert late == []
    assert not Letter.objects.filter(kind="digest").open().exists()
