"""Two rounds abreast in one process: each letter is one's alone, and one's trouble ends both."""

import threading
from collections import Counter

import pytest
from django.db import connection

from subscriptions.post import delivery
from subscriptions.post.abreast import run_abreast
from tests.volleys.thirty import deliver, digests, recipients, states


@pytest.fixture
def rounds(monkeypatch):
    """Let ten letters be many. Returns the names of the threads in which rounds ran."""
    monkeypatch.setattr(delivery, "MANY", 10)
    names = []
    run = delivery.Round.run

    def noted(self):
        names.append(threading.current_thread().name)
        return run(self)

    monkeypatch.setattr(delivery.Round, "run", noted)
    return names


@pytest.mark.django_db(transaction=True)
def test_two_rounds_deliver_each_letter_once(server, rounds):
    digests(count=60)
    counts = deliver()
    assert counts["accepted"] == 60
    assert states() == {"accepted": 60}
    assert len(recipients(server)) == len(set(recipients(server))) == 60
    assert len(rounds) == (2 if connection.vendor == "postgresql" else 1)


@pytest.mark.django_db(transaction=True)
def test_few_letters_are_one_rounds(server, rounds):
    digests(count=9)
    assert deliver()["accepted"] == 9
    assert len(rounds) == 1


def test_what_ends_the_first_round_lets_the_others_end_what_they_have_begun():
    ended = []

    def run(is_over):
        if threading.current_thread() is threading.main_thread():
            raise TimeoutError
        while not is_over():
            pass
        ended.append(threading.current_thread().name)
        return Counter()

    with pytest.raises(TimeoutError):
        run_abreast(run, 3)
    assert len(ended) == 2


def test_what_breaks_another_round_is_told_once_all_have_ended():
    ended = []

    def run(is_over):
        if threading.current_thread() is threading.main_thread():
            ended.append(1)
            return Counter(accepted=1)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        run_abreast(run, 2)
    assert ended == [1]
