"""Signing up on the page: what it takes, what is refused, and what it tells nobody."""

import lxml.html
import pytest
from django.test import Client
from django.urls import reverse

from subscriptions import forms
from subscriptions.delivery import circuit_breaker
from subscriptions.models import Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.subscriber_pages import STATES, stances, url
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db

LONG = "x" * (forms.MAX_QUERY_LENGTH + 1)


def test_signing_up_asks_the_owner_of_the_address(client):
    topic = make.topic("Graph learning")
    response = client.post(
        "/subscribe/",
        {
            "email": " You@EXAMPLE.org",
            "topics": topic.slug,
            "interests": "bread\r\n\r\n  sour   dough \r\nbread",
            "timezone": "Europe/Berlin",
            "hour": "21",
        },
    )
    someone = Subscriber.objects.get()
    assert response.status_code == 200
    assert (someone.email, someone.timezone, someone.hour) == (
        "You@example.org",
        "Europe/Berlin",
        21,
    )
    assert stances(someone) == dict.fromkeys(["Graph learning", "bread", "sour dough"], "follow")
    assert someone.state_at(NOW) == "pending"
    assert [letter.kind for letter in someone.letters.all()] == ["confirm"]


def test_an_address_is_all_that_it_takes(client):
    assert client.post("/subscribe/", {"email": "you@example.org"}).status_code == 200
    someone = Subscriber.objects.get()
    assert (someone.timezone, someone.hour) == ("UTC", 7)


@pytest.mark.parametrize(
    ("accepted", "sent", "becomes"),
    [
        (None, {}, "en"),
        ("de-AT,de;q=0.9,en;q=0.5", {}, "de"),
        ("tlh,en;q=0.1,de;q=0.2", {}, "de"),
        ("tlh", {}, "en"),
        ("\x00, ;q=x,,de-", {}, "en"),
        ("de", {"language": "en"}, "en"),
        ("en", {"language": "de"}, "de"),
        ("de", {"language": ""}, "de"),
    ],
)
def test_her_language_is_the_one_she_names_or_her_browsers(client, accepted, sent, becomes):
    headers = {"Accept-Language": accepted} if accepted else {}
    client.post("/subscribe/", {"email": "you@example.org"} | sent, headers=headers)
    assert Subscriber.objects.get().language == becomes


@pytest.mark.parametrize(
    ("typed", "zone"),
    [
        ("europe/berlin", "Europe/Berlin"),
        (" new  york ", "America/New_York"),
        ("Zürich", "Europe/Zurich"),
        ("São Paulo", "America/Sao_Paulo"),
    ],
)
def test_a_city_is_a_time_zone_however_it_is_written(client, typed, zone):
    reader = make.subscriber(timezone="UTC")
    assert client.post(url("preferences", reader), {"timezone": typed}).status_code == 302
    reader.refresh_from_db()
    assert reader.timezone == zone


@pytest.mark.parametrize("page", ["subscribe", "preferences"])
def test_a_form_that_is_not_right_yet_leads_to_each_field_that_is_not(client, page):
    address = reverse("subscribe") if page == "subscribe" else url(page, make.subscriber())
    sent = {"email": "she@example.org", "topics": "gone", "timezone": "Atlantis", "interests": LONG}
    if page == "preferences":
        sent |= {"days": "", "size": "0"}
    else:  # Its page has no field for these.
        sent |= {"language": "xx", "website": "x"}
    shown = lxml.html.fromstring(client.post(address, sent).content)
    for said in ("no topic called “gone”", "each line under 2000 characters", "“Atlantis”"):
        assert said in shown.text_content()
    ids = [link[1:] for link in shown.xpath("//*[@role='alert']//a/@href")]
    fields = ["topics", "interests", "timezone", *(["days", "size"] if "size" in sent else [])]
    assert {*ids} == {f"id_{name}" for name in fields}
    assert [one for one in shown.xpath("//@id") if one in ids] == ids  # As they stand there.


@pytest.mark.parametrize(
    ("wrong", "focused"),
    [
        ({"topics": "gone", "size": "0"}, ("topics", "bread")),
        ({"interests": LONG, "timezone": "Atlantis"}, ("interests", None)),
        ({"muted_interests": LONG, "mute": "gone"}, ("muted_interests", None)),
        ({"mute": "gone", "hour": "25"}, ("mute", "bread")),
        ({"hour": "25", "timezone": "Atlantis"}, ("hour", None)),
        ({"timezone": "Atlantis", "days": "", "quiet": "perhaps"}, ("timezone", None)),
        ({"days": "", "size": "0"}, ("days", "mon")),
        ({"size": "0", "pause_until": "3000-01-01"}, ("size", None)),
        ({"pause_until": "3000-01-01", "quiet": "perhaps"}, ("pause_until", None)),
        ({"quiet": "perhaps", "language": "xx"}, ("quiet", None)),
        ({"language": "xx"}, ("language", None)),
        ({"action": "move", "new_email": "nowhere"}, ("new_email", None)),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_the_focus_is_on_the_first_field_that_is_not_right(client, wrong, focused):
    make.topic("Bread", slug="bread")
    page = client.post(url("preferences", make.subscriber()), wrong).content
    (field,) = lxml.html.fromstring(page).xpath("//*[@autofocus]")
    box = field.get("value") if field.get("type") == "checkbox" else None
    assert (field.get("name"), box) == focused


def test_the_focus_of_a_form_that_signs_up_is_on_the_first_field_that_is_not_right(client):
    sent = {"email": "she@example.org", "interests": LONG, "hour": "25", "timezone": "Atlantis"}
    for name, right in (("interests", "bread"), ("hour", "7"), ("timezone", "UTC")):
        page = lxml.html.fromstring(client.post("/subscribe/", sent).content)
        assert page.xpath("//*[@autofocus]/@name") == [name]
        sent[name] = right
    page = lxml.html.fromstring(client.get("/subscribe/").content)
    assert page.xpath("//*[@autofocus]") == []


def test_who_fills_in_what_nobody_sees_is_asked_again_and_a_person_gets_through(client):
    response = client.post("/subscribe/", {"email": "you@example.org", "website": "spam.example"})
    assert response.status_code == 400
    assert "If you are none, please send it again." in response.text
    assert not Subscriber.objects.exists()
    (trap,) = lxml.html.fromstring(response.text).xpath("//input[@name='website']")
    assert trap.get("value") is None
    assert (
        client.post("/subscribe/", {"email": "you@example.org", "website": ""}).status_code == 200
    )
    assert Subscriber.objects.exists()


def test_the_field_that_nobody_sees_is_hidden_from_readers_keyboards_and_password_managers(client):
    (trap,) = lxml.html.fromstring(client.get("/").text).xpath("//input[@name='website']")
    assert trap.xpath("ancestor::*[@hidden]")
    assert (trap.get("tabindex"), trap.get("autocomplete")) == ("-1", "off")
    assert trap.get("required") is None


@pytest.mark.parametrize("page", ["/subscribe/", "/lost/"])
@pytest.mark.parametrize(
    ("happen", "is_held_up"),
    [
        (lambda: None, False),
        (lambda: circuit_breaker.trip("auth", "535 no", NOW), True),
        (lambda: circuit_breaker.stop("Ada", NOW), True),
    ],
    ids=["on", "tripped", "stopped"],
)
def test_while_no_letter_leaves_who_waits_for_one_is_told(client, page, happen, is_held_up):
    happen()
    said = client.post(page, {"email": "you@example.org"}).content.decode()
    assert ("waits, since none leave at the moment" in said) == is_held_up
    assert ("on its way" in said) != is_held_up
    assert ("Nothing there after a few minutes?" in said) != is_held_up


def test_while_no_letter_leaves_who_confirms_is_told_when_her_digest_comes(client):
    circuit_breaker.stop("Ada", NOW)
    reader = make.subscriber(confirmed=False)
    page = client.post(tokens.confirm_url(reader)).content.decode()
    assert "Your first digest comes as soon as letters leave again" in page
    assert "on its way" not in page


@pytest.mark.parametrize(
    ("origin", "via"),
    [
        ("http://127.0.0.1:8000", "sign-up form"),
        ("http://testserver", "sign-up form"),  # Under another of its names.
        ("https://testserver", "sign-up form on another site"),
        ("null", "sign-up form on another site"),
    ],
)
def test_whose_form_was_sent_in_is_on_record(client, origin, via):
    client.post("/subscribe/", {"email": "you@example.org"}, headers={"Origin": origin})
    assert Subscriber.objects.get().consents.get().via == via


def test_other_sites_may_embed_the_form():
    client = Client(enforce_csrf_checks=True)
    elsewhere = {"Origin": "https://blog.example", "Sec-Fetch-Site": "cross-site"}
    response = client.post("/subscribe/", {"email": "you@example.org"}, headers=elsewhere)
    assert response.status_code == 200
    assert Subscriber.objects.exists()


@pytest.mark.parametrize(
    "sent",
    [
        {"email": ""},
        {"email": "you"},
        {"email": "you@example.org\r\nBcc: all@example.org"},
        {"email": "zoë@example.org"},
        {"topics": "no-such-topic"},
        {"topics": ["graph-learning", "no-such-topic"]},
        {"topics": "graph-learning\x00"},
        {"interests": "bread\x00"},
        {"interests": "\n".join(f"bread {n}" for n in range(51))},
        {"interests": "b" * 2001},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"hour": "24"},
        {"hour": "-1"},
        {"hour": "noon"},
        {"language": "tlh"},
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_stored(client, sent):
    make.topic("Graph learning")
    before = everything()
    assert client.post("/subscribe/", {"email": "you@example.org"} | sent).status_code == 400
    assert everything() == before


def test_own_topics_of_another_reader_cannot_be_followed(client):
    secret = make.subscriber(interests="my secret plan").own_topics.get()
    for slug in (str(secret.pk), "None"):
        response = client.post("/subscribe/", {"email": "you@example.org", "topics": slug})
        assert response.status_code == 400


def test_an_empty_topic_names_none(client):
    make.subscriber(interests="somebody's own words")
    client.post("/subscribe/", {"email": "you@example.org", "topics": ""})
    assert stances(Subscriber.objects.get(email="you@example.org")) == {}


def test_preferences_with_empty_fields_follow_nothing_and_keep_the_settings(client):
    reader = make.subscriber(topics=[make.topic()], interests="ovens", hour=9)
    empty = {"topics": "", "mute": "", "interests": "", "hour": "", "action": ""}
    assert client.post(url("preferences", reader), empty).status_code == 302
    reader.refresh_from_db()
    assert (stances(reader), reader.hour) == ({}, 9)


def test_an_hour_may_have_two_digits(client):
    client.post("/subscribe/", {"email": "you@example.org", "hour": "07"})
    assert Subscriber.objects.get().hour == 7


def test_a_topic_that_is_not_offered_may_still_be_followed_by_its_slug(client):
    hidden = make.topic("Hidden", is_offered=False)
    client.post("/subscribe/", {"email": "you@example.org", "topics": hidden.slug})
    assert stances(Subscriber.objects.get()) == {"Hidden": "follow"}


def test_an_international_domain_is_kept_in_ascii_and_shown_in_its_own_script(client):
    response = client.post("/subscribe/", {"email": "you@EXÄMPLE.org"})
    assert Subscriber.objects.get().email == "you@xn--exmple-cua.org"
    assert "you@exämple.org" in response.content.decode()


def test_long_words_in_any_script_can_be_kept(client):
    """A database index has its limits: 2700 bytes in PostgreSQL."""
    words = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(2000))
    sent = {"email": "you@example.org", "interests": words}
    assert client.post("/subscribe/", sent).status_code == 200
    assert stances(Subscriber.objects.get()) == {words: "follow"}


def test_the_answer_does_not_tell_who_is_known(client):
    answers = {}
    for state, fields in {"unknown": None, **STATES}.items():
        email = f"{state:x<12}@example.org"  # All of one length.
        if fields is not None:
            make.subscriber(email, **fields)
        response = client.post("/subscribe/", {"email": email})
        body = response.content.decode().replace(email, "…")
        del response.headers["Expires"]  # Now, by a clock that goes on from one to the next.
        answers[state] = (response.status_code, body, dict(response.headers), response.cookies)
    assert all(answer == answers["unknown"] for answer in answers.values())
