"""A lost link is sent again: to who reads here, and without telling who does."""

import re

import pytest

from subscriptions.delivery import worker
from subscriptions.models import Letter, Subscriber
from subscriptions.notices import send
from subscriptions.security import suppression_list, tokens
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers import subscriber_pages
from tests.helpers.invariants import broken
from tests.helpers.subscriber_pages import BOUNCING
from tests.subscriptions.security.test_enumeration import count_queries

pytestmark = pytest.mark.django_db

ADDRESS = "reader@example.org"
STATES = subscriber_pages.STATES | {"unknown": None, "bounced": BOUNCING, "listed": None}
GETS_IT = {"active", "paused", "unsubscribed"}


def someone(state):
    if state == "listed":
        suppression_list.add(ADDRESS, "asked", NOW)
    elif STATES[state] is not None:
        make.subscriber(ADDRESS, **STATES[state])


def ask(client, email=ADDRESS, **request):
    return client.post("/lost/", {"email": email}, **request)


def sent():
    return Letter.objects.filter(kind="link").count()


@pytest.mark.parametrize("state", STATES)
def test_link_is_sent_to_confirmed_subscribers_only(client, outbox, state):
    someone(state)
    assert ask(client, ADDRESS.upper()).status_code == 200
    worker.deliver_due(lambda: NOW)
    assert len(outbox()) == (state in GETS_IT)
    for message in outbox():
        assert message["To"] == ADDRESS
        assert message["Subject"] == "Your Paperboy settings link"
        for kind in ("plain", "html"):
            url = tokens.preferences_url(Subscriber.objects.get())
            assert url in message.get_body([kind]).get_content()
    assert broken(NOW + DAY) == {} or state in {"bounced", "paused", "active"}


@pytest.mark.parametrize("lately", [False, True])
def test_answer_is_the_same_for_every_address(client, settings, lately):
    settings.LIMITS = dict.fromkeys(settings.LIMITS, 1000)
    ask(client, "warm@example.org")
    answers = set()
    for state in STATES:
        Subscriber.objects.all().delete()
        suppression_list.entries_for(ADDRESS).delete()
        someone(state)
        if lately and Subscriber.objects.exists():
            subscriber = Subscriber.objects.get()
            send.write(subscriber, "link", NOW - MINUTE, closes_at=NOW + DAY)
        with count_queries() as work:
            response = ask(client)
        page = re.sub(rb"\s+", b" ", response.content)
        headers = frozenset(response.headers.items())
        answers.add((response.status_code, page, headers, frozenset(work.items())))
        assert response.cookies == {}
    assert len(answers) == 1


LETTER_LIMITS = [
    ({"mailbox": 1000}, (0, 1, 9, 10, 19, 20), [200] * 6, 3),
    ({"mailbox": 2, "network": 4}, range(0, 60, 10), [200] * 4 + [429] * 2, 2),
]


@pytest.mark.parametrize(("limits", "minutes", "statuses", "letters"), LETTER_LIMITS)
def test_link_is_resent_after_ten_minutes(
    client, clock, settings, limits, minutes, statuses, letters
):
    settings.LIMITS = settings.LIMITS | limits
    make.subscriber(ADDRESS)
    for minute, status in zip(minutes, statuses, strict=True):
        clock.now = NOW + minute * MINUTE
        assert ask(client, REMOTE_ADDR="192.0.2.7").status_code == status
    assert sent() == letters


@pytest.mark.parametrize("email", ["", "ä@example.org"])
def test_invalid_address_is_refused_at_its_field(client, email):
    page = ask(client, email)
    assert page.status_code == 400
    assert 'id="id_email_error"' in page.text
    assert sent() == 0
