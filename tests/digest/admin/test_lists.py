"""The panel's lists of tables that grow: quick however long they are, and what they find."""

import pytest
from django.urls import reverse

from digest.models import Digest
from subscriptions.delivery import message_ids
from subscriptions.models import Letter, LetterFact
from tests.factories import make
from tests.factories.make import DAY, NOW
from tests.helpers.data_files import cases

CASES = cases("paper_search")

pytestmark = pytest.mark.django_db

LETTERS, FACTS, SUBSCRIBERS = (
    f"admin:subscriptions_{name}_changelist" for name in ("letter", "letterfact", "subscriber")
)
DIGESTS = "admin:digest_digest_changelist"


def letter(subscriber, at=NOW, state="accepted", kind="digest", **fields):
    day = at.date() if kind == "digest" else None
    moments = {"created_at": at, "closes_at": at + DAY, "ended_at": at}
    made = subscriber.letters.create(kind=kind, state=state, day=day, **moments | fields)
    if day:
        Digest.objects.create(subscriber=subscriber, day=day, letter=made)
    return made


def fact(of, kind="bounced", grade="hard", at=NOW, **fields):
    return LetterFact.objects.create(
        letter=of, kind=kind, grade=grade, noted_at=at, via="mail", key=f"{of.pk} {kind}", **fields
    )


def rows(panel, name, **asked):
    response = panel.get(reverse(name), asked)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def test_letters_are_found_by_address_or_message_id(panel, settings):
    first, other = make.subscriber("ada@example.org"), make.subscriber("bob@example.org")
    named = letter(first, message_id="")
    Letter.objects.filter(pk=named.pk).update(message_id=message_ids.for_letter(named))
    named.refresh_from_db()
    also = letter(other)
    assert rows(panel, LETTERS, q="ADA@") == [named]
    assert rows(panel, LETTERS, q="example.org") == [also, named]
    assert rows(panel, LETTERS, q=named.message_id) == [named]
    assert rows(panel, LETTERS, q=f"<digest.2026-06-01.{'0' * 32}@{settings.MAIL_DOMAIN}>") == []
    assert rows(panel, LETTERS, q="nobody") == []
    assert [one.letter for one in rows(panel, DIGESTS, q="bob")] == [also]


def test_papers_are_found_by_title_or_id(panel):
    make.paper("Sparse graphs", id="2606.1")
    make.paper("On graphs", id="2606.12")
    make.paper("Graphs that are sparse", id="math/0309136")
    make.paper("Of 50: robots", id="biorxiv:9")
    for query, expected in CASES["found"].items():
        papers = rows(panel, "admin:digest_paper_changelist", q=query)
        assert sorted(one.pk for one in papers) == expected, query


def test_letters_are_filtered_by_day_and_state(panel):
    subscriber = make.subscriber()
    letters = [letter(subscriber, NOW + days * DAY) for days in range(-9, 1)]
    letter(subscriber, kind="confirm")
    day_range = {"day_from": "2026-05-25", "day_to": "2026-05-27"}
    letters_in_range = rows(panel, LETTERS, **day_range)
    assert letters_in_range == [one for one in reversed(letters) if 25 <= one.day.day <= 27]
    assert [one.letter for one in rows(panel, DIGESTS, **day_range)] == letters_in_range
    assert rows(panel, LETTERS, day_from="2026-06-01") == [letters[-1]]
    assert rows(panel, LETTERS, day_to="2026-05-23") == [letters[0]]
    for made, state in zip(letters, ("planned", "failed"), strict=False):
        Letter.objects.filter(pk=made.pk).update(state=state, ended_at=None, reason="550")
        assert rows(panel, LETTERS, state__exact=state) == [made]
        digests = rows(panel, DIGESTS, letter__state__exact=state)
        assert [digest.letter for digest in digests] == [made]
