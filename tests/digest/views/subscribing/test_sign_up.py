"""Signing up on the page: what it takes, what is refused, and what it tells nobody."""

import re

import lxml.html
import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from subscriptions.delivery import circuit_breaker
from subscriptions.models import Subscriber
from subscriptions.models.topics import MAX_QUERY_LENGTH
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW
from tests.helpers import data_files
from tests.helpers.subscriber_pages import stances, url
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db

FORMS = data_files.load("sign_up_forms.toml")
LONG = "x" * (MAX_QUERY_LENGTH + 1)


def test_sign_up_stores_wishes_and_asks_to_confirm(client):
    topic = make.topic("Graph learning")
    sent = {"email": " You@EXAMPLE.org", "topics": topic.slug, "timezone": "Europe/Berlin"}
    sent |= {"interests": "bread\r\n\r\n  sour   dough \r\nbread", "hour": "07"}
    response = client.post("/subscribe/", sent)
    someone = Subscriber.objects.get()
    assert response.status_code == 200
    assert (someone.email, someone.timezone) == ("You@example.org", "Europe/Berlin")
    assert someone.hour == 7
    assert stances(someone) == dict.fromkeys(["Graph learning", "bread", "sour dough"], "follow")
    assert someone.state_at(NOW) == "pending"
    assert [letter.kind for letter in someone.letters.all()] == ["confirm"]


@pytest.mark.parametrize(("accepted", "sent", "becomes"), FORMS["languages"])
def test_language_is_chosen_or_the_browsers(client, accepted, sent, becomes):
    headers = {"Accept-Language": accepted}
    client.post("/subscribe/", {"email": "you@example.org"} | sent, headers=headers)
    assert Subscriber.objects.get().language == becomes


@pytest.mark.parametrize(("typed", "zone"), FORMS["cities"])
def test_time_zone_is_found_by_its_city(client, typed, zone):
    subscriber = make.subscriber(timezone="UTC")
    assert client.post(url("preferences", subscriber), {"timezone": typed}).status_code == 302
    assert make.fresh(subscriber).timezone == zone


@pytest.mark.parametrize("page", ["subscribe", "preferences"])
def test_form_errors_link_to_their_fields(client, page):
    address = reverse("subscribe") if page == "subscribe" else url(page, make.subscriber())
    sent = {"email": "new@example.org", "topics": "gone", "timezone": "Atlantis", "interests": LONG}
    if page == "preferences":
        sent |= {"days": "", "size": "0"}
    else:  # Its page has no field for these.
        sent |= {"language": "xx", "website": "x"}
    shown = lxml.html.fromstring(client.post(address, sent).content)
    for said in ("no topic called “gone”", "each line under 20000 characters", "“Atlantis”"):
        assert said in shown.text_content()
    ids = [link[1:] for link in shown.xpath("//*[@role='alert']//a/@href")]
    if page == "subscribe":
        ids = shown.xpath("//*[contains(@aria-describedby, '_error')]/@id")
    fields = ["topics", "interests", "timezone", *(["days", "size"] if "size" in sent else [])]
    assert {*ids} == {f"id_{name}" for name in fields}
    assert [one for one in shown.xpath("//@id") if one in ids] == ids  # As they stand there.


def test_filled_honeypot_is_refused_without_storing(client):
    response = client.post("/subscribe/", {"email": "you@example.org", "website": "spam.example"})
    assert response.status_code == 400
    assert "If you are human, please send it again." in response.text
    assert not Subscriber.objects.exists()
    (trap,) = lxml.html.fromstring(response.text).xpath("//input[@name='website']")
    assert trap.get("value") is None
    assert (trap.get("tabindex"), trap.get("autocomplete")) == ("-1", "off")
    assert trap.xpath("ancestor::*[@hidden]")  # From screen readers, too.
    assert trap.get("required") is None
    client.post("/subscribe/", {"email": "you@example.org", "website": ""})
    assert Subscriber.objects.exists()


@pytest.mark.parametrize("page", ["/subscribe/", "/lost/"])
@pytest.mark.parametrize("is_held_up", [False, True])
def test_stopped_sending_is_announced_after_a_form(client, page, is_held_up):
    if is_held_up:
        circuit_breaker.open("auth", "535 no", NOW)
    said = client.post(page, {"email": "you@example.org"}).text
    assert ("follows as soon as it resumes" in said) == is_held_up
    assert (re.search("[Ww]e sent|on its way", said) is None) == is_held_up
    assert ("No email after ten minutes?" in said) != is_held_up


@pytest.mark.parametrize(("origin", "via"), FORMS["origins"])
def test_embedded_form_is_accepted_and_recorded(origin, via):
    client = Client(enforce_csrf_checks=True)
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    client.post("/subscribe/", {"email": "you@example.org"}, headers=headers)
    assert Subscriber.objects.get().consents.get().via == via


TOO_MUCH = [{"interests": text} for text in (LONG, "\n".join(f"bread {n}" for n in range(51)))]


@pytest.mark.parametrize("sent", [*FORMS["invalid"], *TOO_MUCH])
def test_invalid_sign_up_stores_nothing(client, sent):
    make.topic("Graph learning")
    before = everything()
    assert client.post("/subscribe/", {"email": "you@example.org"} | sent).status_code == 400
    assert everything() == before


def test_topics_of_other_subscribers_cannot_be_followed(client):
    secret = make.subscriber(interests="my secret plan").own_topics.get()
    for slug in (str(secret.pk), "None"):
        response = client.post("/subscribe/", {"email": "you@example.org", "topics": slug})
        assert response.status_code == 400


def interests_on(page):
    return [
        chip.strip() for chip in lxml.html.fromstring(page.text).xpath("//ul/li[@data-kind]/text()")
    ]


def test_pages_after_sign_up_list_the_interests(client):
    topic = make.topic("Graph learning")
    typed = "bread, but no surveys\nauthor: Emmy Noether\n<b>rye</b>"
    sent = {"email": "you@example.org", "topics": topic.slug, "interests": typed}
    interests = ["bread", "by Emmy Noether", "<b>rye</b>", "topic: Graph learning"]
    interests.append("muted: surveys")
    assert interests_on(client.post("/subscribe/", sent)) == interests
    someone = Subscriber.objects.get()
    path = tokens.answer_url(someone, "confirm", someone.asked_at).removeprefix(settings.SITE_URL)
    for answer in (client.get, client.post):
        assert sorted(interests_on(answer(path))) == sorted(interests)


def test_unsubscribed_address_confirms_its_new_interests(client):
    someone = make.subscriber(interests="bread", now=NOW - DAY, unsubscribed_at=NOW - DAY)
    for text in ("rye", ""):  # Without interests, those of before are kept.
        client.post("/subscribe/", {"email": someone.email, "interests": text})
        someone.refresh_from_db()
        page = client.get(tokens.answer_url(someone, "confirm", someone.asked_at))
        assert interests_on(page) == [text or "bread"]
