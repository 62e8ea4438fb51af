"""Recommending a paper to a colleague: to whom, how many, and what it tells about others."""

import pytest
from django.core.exceptions import ValidationError

from digest import hooks
from digest.models import Recommendation
from digest.personalization.recommendations import MAX_A_DAY, colleagues, recommend
from subscriptions.actions import erase
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW, SECOND
from tests.helpers.subscriber_pages import digest_of, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair():
    """Return the memberships of two colleagues."""
    group = make.group("The lab")
    return make.member(group, "Ada"), make.member(group, "Bob")


def send(sender, receiver, paper=None, note="", now=NOW):
    recommend(sender.subscriber, str(receiver.pk), paper or make.paper(), note, now)


def names_for(membership):
    return [row.name for row in colleagues(membership.subscriber)]


# ---- To whom


def test_recommendation_has_senders_name_in_shared_group(pair):
    ada, bob = pair
    make.member(make.group("Readers"), "Dr. Lovelace", ada.subscriber)
    send(ada, bob, note="Read\r\nBcc: <b>eve</b>\u202e")
    recommendation = Recommendation.objects.valid().get()
    assert (recommendation.sender, recommendation.receiver) == (ada.subscriber, bob.subscriber)
    assert (recommendation.sender_name, recommendation.note) == ("Ada", "Read Bcc: <b>eve</b>")


OUT_OF_REACH = [("joined_at", None), ("takes_recommendations", False)]
OUT_OF_REACH += [("unsubscribed_at", NOW), ("suppressed_at", NOW)]


@pytest.mark.parametrize(("field", "value"), OUT_OF_REACH)
def test_members_without_recommendations_are_not_listed(pair, field, value):
    ada, bob = pair
    send(ada, bob)
    row = bob if hasattr(bob, field) else bob.subscriber
    setattr(row, field, value)
    row.save()
    stranger, invited = make.member(make.group(), "Eve"), make.member(ada.group)
    assert names_for(ada) == names_for(stranger) == names_for(invited) == []
    assert not Recommendation.objects.valid().exists()
    errors = set()
    for to in (bob.pk, ada.pk, stranger.pk, 0, "²", "9" * 40, ""):
        with pytest.raises(ValidationError) as error:
            recommend(ada.subscriber, str(to), make.paper(), "", NOW)
        errors.add(str(error.value))
    assert len(errors) == 1


# ---- How many


def test_five_recommendations_a_day_are_stored(pair):
    ada, bob = pair
    first = make.paper()
    for number in range(MAX_A_DAY):
        send(ada, bob, first if number == 0 else None, "First", NOW + number * SECOND)
    send(ada, bob, first, "Second")
    assert set(Recommendation.objects.values_list("note", flat=True)) == {"First"}
    with pytest.raises(ValidationError, match="five papers a day"):
        send(ada, bob, now=NOW + DAY - SECOND)
    send(bob, ada)
    send(ada, bob, now=NOW + DAY + SECOND)
    assert ada.subscriber.recommendations_sent.count() == MAX_A_DAY + 1


@pytest.mark.parametrize("note", ["see example.org/x", "http://x", "www.x.y", "n" * 281])
def test_notes_with_links_and_long_ones_are_refused(pair, note):
    with pytest.raises(ValidationError):
        send(*pair, note=note)
    assert not Recommendation.objects.exists()


# ---- Whose data it is


def test_recommendations_are_exported_and_erased_with_either_side(pair):
    ada, bob = pair
    send(ada, bob, make.paper(id="2606.1"), "For you")
    row = {"paper": "2606.1", "sender_name": "Ada", "note": "For you", "at": NOW}
    assert hooks.export(ada.subscriber)["recommendations_sent"] == [row]
    assert hooks.export(bob.subscriber)["recommendations_received"] == [row]
    send(make.member(ada.group, "Eve"), ada)
    erase.erase(ada.subscriber, now=NOW)
    assert not Recommendation.objects.exists()


# ---- The page


def post(client, sender, **sent):
    token = tokens.own_token("preferences", sender.subscriber)
    return client.post(f"/recommend/{token}/", sent)


def test_page_reveals_nothing_about_receiver(client, pair):
    ada, bob = pair
    pages = []
    for paper in (digest_of(bob.subscriber).picks.get().paper, make.paper("Graphs")):
        answer = post(client, ada, paper=paper.pk, to=bob.pk, note="For you")
        page = client.get(answer["Location"]).text.split("<main")[1]
        pages.append(page.replace(paper.pk, "").replace(paper.title, ""))
    assert "The paper gets a place in their next digest" in pages[0]
    assert pages[0] == pages[1]


def test_recommend_link_needs_colleague_and_preferences_token(client, pair):
    ada, bob = pair
    digest_of(ada.subscriber)
    paper = ada.subscriber.picks.get().paper
    token = tokens.own_token("preferences", ada.subscriber)
    link, why = (f"/{page}/{token}/?paper={paper.pk}" for page in ("recommend", "why"))
    assert link in client.get(why).text
    for page in ("digest", "feedback"):
        assert "/recommend/" not in client.get(url(page, ada.subscriber), {"paper": paper.pk}).text
    bob.delete()
    assert "recommend" not in client.get(why).text
    assert "nobody to recommend papers to" in client.get(link).text
