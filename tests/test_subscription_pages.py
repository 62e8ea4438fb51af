"""The doors for readers: looking changes nothing, posting acts, and a token is proof enough."""

import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser

import lxml.html
import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from digest.models import Digest
from subscriptions import forms, links
from subscriptions.models import Letter, Subscriber
from subscriptions.post import office
from tests import make
from tests.make import NOW

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
STATES = {
    "pending": {"confirmed": False},
    "active": {},
    "paused": {"paused_until": (NOW + 9 * DAY).date()},
    "unsubscribed": {"unsubscribed_at": NOW, "next_due_at": None},
    "suppressed": {"suppressed_at": NOW, "suppressed_reason": "bounced"},
}
PAGES = ["confirm", "preferences", "unsubscribe", "digest"]
BOUNCING = {"suppressed_at": NOW, "suppressed_by": "bounced"}
LONG = "x" * (forms.MAX_QUERY_LENGTH + 1)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def rows():
    """Return every row of every table."""
    return {
        model.__name__: list(model._base_manager.order_by("pk").values())
        for model in apps.get_models()
    }


def url(page, subscriber):
    """Return the address of the page that only her token opens."""
    if page == "digest":
        token = links.token("digest", digest_of(subscriber).public_id)
    else:
        asked_at = subscriber.asked_at if page == "confirm" else None
        token = links.token(page, subscriber.public_id, asked_at)
    return reverse(page, args=[token])


def answer(kind, subscriber, asked_at=NOW):
    """Return the address of the page that the link of such a letter to her opens."""
    return reverse("confirm", args=[links.token(kind, subscriber.public_id, asked_at)])


def undo_of(page):
    """Return where the page after unsubscribing sends its form, or nothing where it has none."""
    forms = re.findall(r'<form method="post" action="(/confirm/[^"]+)"', page.content.decode())
    return forms[0] if forms else None


def digest_of(subscriber):
    if digest := subscriber.digests.first():
        return digest
    letter = office.write(subscriber, "digest", now=NOW, closes_at=NOW + DAY)
    digest = Digest.objects.create(subscriber=subscriber, day=NOW.date(), letter=letter)
    digest.picks.create(
        subscriber=subscriber, paper=make.paper(), position=1, score=1.0, basis="new"
    )
    return digest


def stances(subscriber):
    return {p.topic.query: p.stance for p in subscriber.preferences.select_related("topic")}


def errors(form):
    """Return what a form says to each field."""
    return {name: " ".join(said) for name, said in form.errors.items()}


# ---- Looking


@pytest.mark.parametrize("state", STATES)
def test_looking_changes_nothing(client, state):
    reader = make.subscriber(interests="bread", topics=[make.topic()], **STATES[state])
    urls = [url(page, reader) for page in PAGES]
    before = rows()
    for address in [*urls, "/", "/subscribe/", "/topics/"]:
        for look in (client.get, client.head):
            for query in ("", "?done=save", "?action=erase&List-Unsubscribe=One-Click"):
                prefetching = {"Sec-Purpose": "prefetch", "X-Moz": "prefetch"}
                is_used = state == "unsubscribed" and address.startswith("/confirm/")
                wanted = 410 if is_used else 200
                assert look(address + query, headers=prefetching).status_code == wanted
    assert rows() == before
    assert client.cookies == {}


@pytest.mark.parametrize(
    ("kind", "fields", "asks"),
    [
        ("goodbye", STATES["unsubscribed"], "Do you want the digest again?"),
        ("goodbye", {}, "You get the digest again"),
        ("goodbye", STATES["paused"], "pause until Wednesday, 10 June 2026"),
        ("goodbye", BOUNCING | STATES["unsubscribed"], "No letters can be sent"),
        ("bounced", BOUNCING, "Is this address right?"),
        ("bounced", {}, "You get the digest again"),
        ("bounced", BOUNCING | {"suppressed_by": "complained"}, "No letters can be sent"),
        ("bounced", STATES["suppressed"], "No letters can be sent"),
    ],
)
def test_looking_at_what_a_letter_asks_changes_nothing(client, kind, fields, asks):
    reader = make.subscriber(interests="bread", **fields)
    before = rows()
    for look in (client.get, client.head):
        assert look(answer(kind, reader)).status_code == 200
    assert asks in client.get(answer(kind, reader)).content.decode()
    assert rows() == before
    assert client.cookies == {}


def test_after_a_scanner_has_looked_the_reader_can_still_act(client):
    reader = make.subscriber(confirmed=False)
    client.get(url("confirm", reader))
    assert client.post(url("confirm", reader)).status_code == 200
    reader.refresh_from_db()
    assert reader.state_at(NOW) == "active"


def test_who_is_back_on_the_day_of_her_digest_is_promised_none_before_her_next(client, clock):
    had = NOW - timedelta(hours=2)
    reader = make.subscriber(confirmed_at=NOW - DAY, unsubscribed_at=had, asked_at=NOW)
    reader.letters.create(
        kind="digest", day=NOW.date(), state="accepted", created_at=had, closes_at=had, ended_at=had
    )
    page = client.post(url("confirm", reader)).content.decode()
    assert "Your address is confirmed" in page
    assert "on its way" not in page
    assert "The next one comes on Tuesday, 2 June, 07:00." in page


@pytest.mark.parametrize("page", PAGES)
def test_other_methods_are_refused(client, page):
    address = url(page, make.subscriber())
    before = rows()
    for method in (client.put, client.patch, client.delete, client.options):
        assert method(address).status_code == 405
    assert rows() == before


class ShownForm(HTMLParser):
    """What a browser would send in if the settings were saved as they are shown."""

    def __init__(self, html):
        super().__init__()
        self.sent, self._reading, self._name, self._text = {}, False, None, None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self._reading = "settings" in (attributes.get("class") or "").split()
        name = attributes.get("name")
        if not self._reading or (not name and tag != "option"):
            return
        if tag == "input" and (attributes.get("type") != "checkbox" or "checked" in attributes):
            self.sent.setdefault(name, []).append(attributes.get("value") or "")
        elif tag == "option" and "selected" in attributes:
            self.sent.setdefault(self._name, []).append(attributes["value"])
        elif tag == "textarea":
            self._name, self._text = name, ""
        elif tag == "select":
            self._name = name

    def handle_data(self, data):
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag):
        if tag == "textarea" and self._text is not None:
            self.sent[self._name], self._text = [self._text.removeprefix("\n")], None


def test_saving_the_preferences_as_they_are_shown_changes_nothing(client):
    offered, muted, retired = make.topic(), make.topic(), make.topic(is_offered=False)
    reader = make.subscriber(
        interests='bread & "butter"\n<b>cake</b>',
        topics=[offered, retired],
        muted=[muted],
        timezone="Europe/Berlin",
        hour=21,
        size=3,
        language="de",
        wants_quiet_days=True,
        paused_until=(NOW + 9 * DAY).date(),
    )
    before = rows()
    page = client.get(url("preferences", reader)).content.decode()
    assert client.post(url("preferences", reader), ShownForm(page).sent).status_code == 302
    assert rows() == before


# ---- Tokens


@pytest.mark.parametrize("page", PAGES)
def test_a_token_that_is_not_for_this_page_opens_nothing(client, page):
    reader = make.subscriber(interests="bread", confirmed=page != "confirm")
    token = url(page, reader).split("/")[2]
    others = [links.token(other, reader.public_id) for other in PAGES if other != page]
    broken = [token[:-1], token[:20], token + "A", token.swapcase(), "x", "é"]
    before = rows()
    for wrong in [*others, *broken]:
        for send in (client.get, client.post):
            response = send(f"/{'digests' if page == 'digest' else page}/{wrong}/")
            assert response.status_code == 404, wrong
            assert "no-store" in response["Cache-Control"]
    assert rows() == before


def test_a_token_of_someone_else_opens_her_page_and_not_mine(client):
    mine, hers = make.subscriber(hour=7), make.subscriber(hour=7)
    client.post(url("preferences", hers), {"hour": 9})
    mine.refresh_from_db()
    hers.refresh_from_db()
    assert (mine.hour, hers.hour) == (7, 9)


def test_a_confirmation_that_is_too_old_says_so_and_changes_nothing(client, clock):
    reader = make.subscriber(confirmed=False)
    before = rows()
    clock.now = NOW + 7 * DAY + timedelta(seconds=1)
    assert client.get(url("confirm", reader)).status_code == 410
    assert client.post(url("confirm", reader)).status_code == 410
    assert rows() == before


@pytest.mark.parametrize("kind", ["goodbye", "bounced"])
def test_what_a_letter_asked_too_long_ago_says_so_and_changes_nothing(client, clock, kind):
    reader = make.subscriber(**(BOUNCING if kind == "bounced" else STATES["unsubscribed"]))
    before = rows()
    clock.now = NOW + 7 * DAY + timedelta(seconds=1)
    for send in (client.get, client.post):
        assert send(answer(kind, reader)).status_code == 410
    assert rows() == before


@pytest.mark.parametrize("kind", ["goodbye", "bounced"])
def test_what_a_letter_asked_before_she_left_for_good_is_used_up(client, kind):
    reader = make.subscriber(unsubscribed_at=NOW + timedelta(minutes=1))
    before = rows()
    for send in (client.get, client.post):
        assert send(answer(kind, reader)).status_code == 410
    assert rows() == before


def test_a_used_confirmation_does_not_bring_back_one_who_left(client, clock):
    reader = make.subscriber(confirmed=False)
    client.post(url("confirm", reader))
    clock.now = NOW + DAY
    client.post(url("unsubscribe", reader))
    before = rows()
    assert client.post(url("confirm", reader)).status_code == 410
    assert rows() == before


@pytest.mark.parametrize("page", ["confirm", "preferences", "digest"])
def test_a_token_of_one_who_was_erased_opens_nothing(client, page):
    reader = make.subscriber()
    address = url(page, reader)
    client.post(url("preferences", reader), {"action": "erase"})
    assert client.get(address).status_code == 404
    assert client.post(address).status_code == 404


# ---- Signing up


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
    ids = [link[1:] for link in shown.xpath("//*[@role='alert']//a/@href")]
    fields = ["topics", "interests", "timezone", *(["days", "size"] if "size" in sent else [])]
    assert ids == [f"id_{name}" for name in fields]  # In the order in which they stand there.
    assert all(len(shown.xpath("//*[@id=$one]", one=one)) == 1 for one in ids)


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


def test_other_sites_may_embed_the_form():
    client = Client(enforce_csrf_checks=True)
    elsewhere = {"Origin": "https://blog.example", "Sec-Fetch-Site": "cross-site"}
    response = client.post("/subscribe/", {"email": "you@example.org"}, headers=elsewhere)
    assert response.status_code == 200
    assert Subscriber.objects.exists()


def test_the_link_in_the_confirmation_letter_confirms(client, outbox):
    client.post("/subscribe/", {"email": "you@example.org"})
    office.deliver(Letter.objects.get().pk, NOW)
    (letter,) = outbox()
    text = letter.get_body(["plain"]).get_content()
    (link,) = [word for word in text.split() if "/confirm/" in word]
    assert letter["To"] == "you@example.org"
    assert client.post(link.removeprefix("http://127.0.0.1:8000")).status_code == 200
    assert Subscriber.objects.get().state_at(NOW) == "active"


def test_every_link_in_a_letter_may_be_opened_by_a_scanner(client, outbox):
    for email in ("new@example.org", make.subscriber("known@example.org").email):
        client.post("/subscribe/", {"email": email})
    for letter in Letter.objects.due(NOW):
        office.deliver(letter.pk, NOW)
    before = rows()
    letters = outbox()
    assert len(letters) == 2
    for letter in letters:
        bodies = [letter.get_body([kind]).get_content() for kind in ("plain", "html")]
        found = set(re.findall(r"http://127\.0\.0\.1:8000(/[^\s\"'<>]*)", " ".join(bodies)))
        assert any("/preferences/" in link or "/confirm/" in link for link in found)
        for link in found:
            assert client.get(link).status_code == 200, link
    assert rows() == before


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
    before = rows()
    assert client.post("/subscribe/", {"email": "you@example.org"} | sent).status_code == 400
    assert rows() == before


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


def test_a_mistake_is_answered_with_a_sentence():
    topic = make.topic()
    form = forms.SignUpForm(
        {
            "email": "zoë@example.org",
            "topics": [topic.slug, "no-such-topic"],
            "interests": "b" * 2001,
            "timezone": "Mars/Olympus",
        }
    )
    said = errors(form)
    assert "letters from a to z" in said["email"]
    assert said["topics"] == "There is no topic called “no-such-topic”."
    assert said["interests"] == "Please keep each line under 2000 characters."
    assert "Mars/Olympus" in said["timezone"]


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


# ---- Confirming


def test_confirming_twice_is_confirming_once(client, clock):
    reader = make.subscriber(confirmed=False)
    assert client.post(url("confirm", reader)).status_code == 200
    before = rows()
    clock.now = NOW + timedelta(hours=1)
    assert client.post(url("confirm", reader)).status_code == 200
    assert rows() == before
    reader.refresh_from_db()
    assert reader.next_due_at == NOW


@pytest.mark.parametrize(
    ("kind", "fields", "via"),
    [
        ("confirm", {"confirmed": False}, "link in the letter"),
        ("goodbye", STATES["unsubscribed"], "link that undoes unsubscribing"),
        ("bounced", BOUNCING, "link in the letter about letters that came back"),
    ],
)
def test_the_record_says_which_letter_she_answered_and_in_which_words(client, kind, fields, via):
    reader = make.subscriber(**fields)
    words = client.get(answer(kind, reader)).content.decode()
    assert Client(enforce_csrf_checks=True).post(answer(kind, reader)).status_code == 200
    consent = reader.consents.get()
    assert (consent.act, consent.via) == ("confirmed", via)
    assert consent.wording in words
    assert client.post(answer(kind, reader)).status_code == 200
    assert reader.consents.count() == 1


@pytest.mark.parametrize(
    ("due", "is_put_off"),
    [("2026-06-02 07:00", False), ("2026-06-02 08:13", True), ("2026-06-01 12:00", False)],
)
def test_where_the_next_digest_comes_later_than_at_her_hour_the_page_says_why(
    client, due, is_put_off
):
    reader = make.subscriber(hour=7, next_due_at=datetime.fromisoformat(f"{due}+00:00"))
    page = client.get(url("preferences", reader)).content.decode()
    assert due.split()[1] in page
    assert ("That is later than your hour" in page) == is_put_off


def test_who_is_back_within_hours_of_a_digest_is_told_why_the_next_comes_late(client):
    had = NOW - timedelta(hours=1)
    reader = make.subscriber(unsubscribed_at=NOW, next_due_at=None, hour=6, timezone="Asia/Tokyo")
    reader.letters.create(
        kind="digest", day=NOW.date(), state="accepted", created_at=had, closes_at=had, ended_at=had
    )
    page = client.post(answer("goodbye", reader)).content.decode()
    assert "comes on Tuesday, 2 June, 08:00" in page
    assert "That is later than your hour" in page


@pytest.mark.parametrize("kind", ["goodbye", "bounced"])
def test_the_page_says_when_the_next_digest_comes(client, kind):
    fields = BOUNCING if kind == "bounced" else STATES["unsubscribed"]
    late, early = (make.subscriber(hour=hour, **fields) for hour in (20, 7))
    assert "comes on Monday, 1 June, 20:00" in client.post(answer(kind, late)).content.decode()
    assert "is on its way" in client.post(answer(kind, early)).content.decode()


@pytest.mark.parametrize(("weekdays", "is_daily"), [(0b0000001, False), (0b1111111, True)])
def test_the_page_promises_no_digest_on_days_that_she_did_not_choose(client, weekdays, is_daily):
    reader = make.subscriber(weekdays=weekdays, **STATES["unsubscribed"])
    for page in (client.post(answer("goodbye", reader)), client.get(answer("goodbye", reader))):
        assert ("comes once a day, at 07:00" in page.text) == is_daily
        assert ("comes on the days that you chose, at 07:00" in page.text) != is_daily


# ---- Preferences


def test_absent_wishes_are_dropped_and_absent_settings_are_kept(client):
    reader = make.subscriber(
        interests="bread",
        topics=[make.topic()],
        muted=[make.topic()],
        timezone="Europe/Berlin",
        hour=21,
        size=3,
        language="de",
        wants_quiet_days=True,
        paused_until=(NOW + 9 * DAY).date(),
    )
    before = Subscriber.objects.values().get()
    response = client.post(url("preferences", reader), follow=True)
    assert response.redirect_chain[0][1] == 302
    assert response.status_code == 200
    assert Subscriber.objects.values().get() == before
    assert stances(reader) == {}


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream"])
def test_what_is_no_form_drops_no_wish(client, kind):
    reader = make.subscriber(interests="bread")
    before = stances(reader)
    response = client.generic("POST", url("preferences", reader), '{"hour": 8}', kind)
    assert response.status_code == 400
    assert "Nothing was changed" in response.text
    assert stances(reader) == before != {}


def test_every_wish_and_setting_can_be_changed(client):
    followed, muted = make.topic("Followed"), make.topic("Muted")
    reader = make.subscriber(interests="bread", topics=[muted])
    client.post(
        url("preferences", reader),
        {
            "topics": [followed.slug],
            "mute": [muted.slug],
            "interests": "cake",
            "muted_interests": "raisins\nalmonds",
            "timezone": "Asia/Tokyo",
            "hour": "0",
            "size": "50",
            "language": "de",
            "quiet": "yes",
            "pause_until": "2026-06-10",
            "action": "save",
        },
    )
    reader.refresh_from_db()
    assert stances(reader) == {
        "Followed": "follow",
        "cake": "follow",
        "Muted": "mute",
        "raisins": "mute",
        "almonds": "mute",
    }
    assert (reader.timezone, reader.hour, reader.size) == ("Asia/Tokyo", 0, 50)
    assert (reader.language, reader.wants_quiet_days) == ("de", True)
    assert reader.paused_until.isoformat() == "2026-06-10"
    assert reader.next_due_at.isoformat() == "2026-06-09T15:00:00+00:00"


def test_a_letter_on_quiet_days_can_be_called_off(client):
    reader = make.subscriber(wants_quiet_days=True)
    client.post(url("preferences", reader), {"quiet": "no"})
    reader.refresh_from_db()
    assert not reader.wants_quiet_days


def test_a_language_that_is_no_longer_offered_is_shown_as_english(client):
    page = client.get(url("preferences", make.subscriber(language="tlh"))).content.decode()
    assert '<option value="en" selected>English</option>' in page


def test_a_form_that_comes_back_still_shows_what_it_left_out(client):
    reader = make.subscriber(language="de", wants_quiet_days=True)
    page = client.post(url("preferences", reader), {"size": 0}).content.decode()
    assert '<option value="de" selected>' in page
    assert '<option value="yes" selected>' in page


def test_muting_wins_over_following(client):
    topic = make.topic()
    reader = make.subscriber()
    both = {
        "topics": topic.slug,
        "mute": topic.slug,
        "interests": "bread",
        "muted_interests": "bread",
    }
    client.post(url("preferences", reader), both)
    assert stances(reader) == {topic.query: "mute", "bread": "mute"}


def test_who_never_confirmed_is_told_how_to_be_asked_again(client):
    reader = make.subscriber(confirmed=False)
    page = client.get(url("preferences", reader)).content.decode()
    assert '<a href="/subscribe/">sign up again</a>, and a new one is sent' in page


def test_a_form_that_asks_for_what_there_is_not_is_answered_with_what_to_do(client):
    response = client.post(url("preferences", make.subscriber()), {"action": "explode"})
    assert response.status_code == 400
    assert "Nothing was changed. Please go back" in response.content.decode()


@pytest.mark.parametrize("sent", [{"pause_until": ""}, {"action": "resume"}])
def test_a_pause_can_be_ended(client, sent):
    reader = make.subscriber(paused_until=(NOW + 9 * DAY).date(), next_due_at=NOW + 9 * DAY)
    client.post(url("preferences", reader), sent)
    reader.refresh_from_db()
    assert reader.paused_until is None
    assert reader.next_due_at < NOW + DAY


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("day", ["12/10/2026", "10.12.2026", "Dec 10, 2026"])
def test_a_day_to_pause_until_is_read_alike_in_every_language(client, language, day):
    """Which day 12/10 is depends on who writes it."""
    reader = make.subscriber()
    page = client.post(
        url("preferences", reader), {"pause_until": day}, headers={"accept-language": language}
    )
    assert page.status_code == 400
    reader.refresh_from_db()
    assert reader.paused_until is None


@pytest.mark.parametrize("action", ["resume", "reset", "export"])
def test_only_saving_touches_the_wishes(client, action):
    topic = make.topic()
    reader = make.subscriber(interests="bread", muted=[topic], size=3)
    client.post(url("preferences", reader), {"action": action, "interests": "cake", "size": 5})
    reader.refresh_from_db()
    assert stances(reader) == {"bread": "follow", topic.query: "mute"}
    assert reader.size == 3


@pytest.mark.parametrize(
    "sent",
    [
        {"topics": "no-such-topic"},
        {"mute": "no-such-topic"},
        {"topics": "graph-learning\x00"},
        {"timezone": "Mars/Olympus"},
        {"hour": "24"},
        {"size": "0"},
        {"size": "51"},
        {"size": "many"},
        {"language": "tlh"},
        {"quiet": "maybe"},
        {"pause_until": "soon"},
        {"pause_until": "2026-02-30"},
        {"pause_until": "9999-12-31", "timezone": "Pacific/Honolulu", "hour": "23"},
        {"action": "explode"},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_and_nothing_changes(client, sent):
    make.topic("Graph learning")
    reader = make.subscriber(interests="bread")
    before = rows()
    assert client.post(url("preferences", reader), sent).status_code == 400
    assert rows() == before


def test_saving_takes_no_cookie_from_wherever_it_is_sent(client):
    reader = make.subscriber()
    strict = Client(enforce_csrf_checks=True)
    address = url("preferences", reader)
    assert strict.post(address, {"size": 5}, headers={"Origin": "null"}).status_code == 302
    reader.refresh_from_db()
    assert reader.size == 5


@pytest.mark.parametrize("state", STATES)
def test_settings_may_be_saved_in_every_state_and_change_no_state(client, state):
    reader = make.subscriber(**STATES[state])
    assert client.post(url("preferences", reader), {"hour": 9}).status_code == 302
    reader.refresh_from_db()
    assert (reader.hour, reader.state_at(NOW)) == (9, state)


def test_the_export_is_whole_and_valid_json(client):
    topic = make.topic("Graph learning")
    reader = make.subscriber("you@example.org", interests="bread", topics=[topic])
    digest_of(reader)
    response = client.post(url("preferences", reader), {"action": "export"})
    exported = json.loads(response.content)
    assert response["Content-Disposition"].startswith("attachment")
    assert exported["email"] == "you@example.org"
    assert len(exported["preferences"]) == 2
    assert [letter["kind"] for letter in exported["letters"]] == ["digest"]
    assert [paper["paper"] for paper in exported["papers"]] == [reader.picks.get().paper_id]


def test_erasing_leaves_no_row(client):
    topic = make.topic("Graph learning")
    client.post("/subscribe/", {"email": "you@example.org", "interests": "bread"})
    reader, other = Subscriber.objects.get(), make.subscriber(interests="cake", topics=[topic])
    client.post(url("confirm", reader))
    digest_of(reader)
    digest_of(other)
    assert client.post(url("preferences", reader), {"action": "erase"}).status_code == 200
    left = {name: len(kept) for name, kept in rows().items()}
    assert "you@example.org" not in repr(rows())
    assert reader.public_id.hex not in repr(rows()).replace("-", "")
    assert (left["Subscriber"], left["Topic"], left["TopicPreference"]) == (1, 2, 2)
    assert (left["Letter"], left["LetterEvent"], left["Digest"], left["Pick"]) == (1, 1, 1, 1)
    assert left["Consent"] == 0


# ---- Files


def test_no_public_form_takes_a_file(client):
    sent = {"email": "you@example.org", "picture": SimpleUploadedFile("a.png", b"\x89PNG")}
    assert client.post("/subscribe/", sent).status_code == 400
    assert not Subscriber.objects.exists()


# ---- Unsubscribing


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (
            '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\n'
            "One-Click\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        ("", "application/x-www-form-urlencoded"),
        ("List-Unsubscribe=Two-Clicks&action=erase", "application/x-www-form-urlencoded"),
        ("List-Unsubscribe=One-Click", "text/plain"),
        ('{"List-Unsubscribe": "One-Click"}', "application/json"),
        # In another charset, which says the same of letters from a to z.
        ("List-Unsubscribe=One-Click", "application/x-www-form-urlencoded; charset=ISO-8859-1"),
        ("List-Unsubscribe=One-Click", "multipart/form-data"),
        ("List-Unsubscribe=One-Click" + 2000 * "&x=", "application/x-www-form-urlencoded"),
    ],
)
def test_one_click_unsubscribes_without_cookie_or_csrf_token(clock, body, content_type):
    reader = make.subscriber()
    address = url("unsubscribe", reader)
    clock.now = NOW + 2 * 366 * DAY
    for _ in range(2):
        client = Client(enforce_csrf_checks=True)
        response = client.post(address, body, content_type=content_type)
        assert response.status_code == 200
        assert response.cookies == {}
    reader.refresh_from_db()
    assert reader.unsubscribed_at == clock.now
    assert reader.consents.count() == 1


def test_the_record_tells_a_mail_program_from_a_page(client):
    by_program, by_page = make.subscriber(), make.subscriber()
    client.post(url("unsubscribe", by_program), ONE_CLICK)
    client.post(url("unsubscribe", by_page))
    assert by_program.consents.get().via == "mail program"
    assert by_page.consents.get().via == "unsubscribe page"


def test_unsubscribing_ends_the_letter_that_waits(client):
    reader = make.subscriber()
    digest = digest_of(reader)
    client.post(url("unsubscribe", reader), ONE_CLICK)
    digest.letter.refresh_from_db()
    assert (digest.letter.state, digest.letter.reason) == ("skipped", "unsubscribed")
    assert not digest.picks.exists()


def test_the_page_offers_to_undo_it_without_cookie_or_csrf_token(client):
    reader = make.subscriber(interests="bread")
    page = client.post(url("unsubscribe", reader))
    assert "One last letter confirms it" in page.content.decode()
    assert Client(enforce_csrf_checks=True).post(undo_of(page)).status_code == 200
    reader.refresh_from_db()
    assert reader.state_at(NOW) == "active"
    assert [letter.kind for letter in reader.letters.all()] == ["goodbye"]


def test_the_page_offers_to_undo_it_for_minutes_and_not_to_whoever_has_an_old_letter(client, clock):
    reader = make.subscriber()
    assert undo_of(client.post(url("unsubscribe", reader)))
    clock.now = NOW + timedelta(minutes=9)
    assert undo_of(client.post(url("unsubscribe", reader)))
    clock.now = NOW + timedelta(minutes=10)
    page = client.post(url("unsubscribe", reader))
    assert undo_of(page) is None
    assert "last letter" not in page.content.decode()


@pytest.mark.parametrize("state", ["pending", "suppressed"])
def test_the_page_promises_no_letter_to_who_gets_none(client, state):
    page = client.post(url("unsubscribe", make.subscriber(**STATES[state])))
    assert undo_of(page) is None
    assert "last letter" not in page.content.decode()


def test_looking_at_the_page_that_unsubscribes_offers_nothing_to_undo(client):
    reader = make.subscriber()
    client.post(url("unsubscribe", reader))
    assert undo_of(client.get(url("unsubscribe", reader))) is None


def test_one_who_was_erased_can_still_unsubscribe(client):
    reader = make.subscriber()
    address = url("unsubscribe", reader)
    client.post(url("preferences", reader), {"action": "erase"})
    for send in (client.get, client.post, client.post):
        assert send(address).status_code == 200


# ---- What holds for every page


def test_a_page_that_a_token_opens_is_not_kept_passed_on_or_found(client):
    reader = make.subscriber(confirmed=False)
    urls = [url(page, reader) for page in PAGES]
    responses = [client.get(address) for address in urls]
    responses += [client.post(address) for address in urls]
    responses += [client.post(urls[1], {"hour": 24}), client.get("/preferences/x/")]
    responses += [client.post(urls[1], {"action": action}) for action in ("export", "erase")]
    for response in responses:
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "no-referrer"
        assert "noindex" in response["X-Robots-Tag"]


def test_every_page_has_a_policy_that_lets_no_other_site_in(client):
    reader = make.subscriber()
    urls = ["/", "/subscribe/", "/topics/", "/healthz/", "/no/such/page/", "/confirm/x/"]
    for address in [*urls, *(url(page, reader) for page in PAGES)]:
        response = client.get(address)
        policy = dict(part.strip().split(" ", 1) for part in policy_of(response).split(";"))
        assert policy["default-src"] == "'none'", address
        assert policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert "unsafe" not in policy_of(response)
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["X-Frame-Options"] == "DENY"


def test_the_admin_panel_alone_has_a_looser_policy(client):
    response = client.get("/admin/login/")
    assert "'unsafe-eval'" in policy_of(response)
    assert "default-src 'none'" in policy_of(response)


def test_a_page_holds_no_script_or_style_of_its_own(client):
    """The policy would refuse them, and nobody would see why."""
    reader = make.subscriber(interests="bread")
    for address in ["/", "/subscribe/", "/topics/", *(url(page, reader) for page in PAGES)]:
        page = client.get(address).content.decode()
        assert "<script>" not in page
        assert "<style" not in page
        assert ' style="' not in page
        assert " onclick=" not in page


def policy_of(response):
    return response["Content-Security-Policy"]
