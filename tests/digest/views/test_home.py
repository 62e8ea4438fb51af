"""The home page, and what a visitor's digests would have been before giving an address."""

import re

import lxml.html
import pytest

from digest.indexing import index_store, model_store
from digest.planning import slots
from subscriptions.models import Subscriber
from tests.factories import make
from tests.factories.corpora import words
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.data_files import cases

CASES = cases("unusual_interests")

pytestmark = pytest.mark.django_db


@pytest.fixture
def papers():
    """Papers of today and of some days before, and a model that has read them."""
    for ago in (0, 0, 2, 5):
        make.paper(f"Graph networks of {ago}", "Networks of roads.", day=TODAY - ago * DAY)
        make.paper(f"Sour bread of {ago}", make.about("dough and bread"), day=TODAY - ago * DAY)
    model_store.fit(NOW)


def page(client, address="/", **sent):
    response = client.get(address, sent)
    assert response.status_code == 200
    return response.content.decode()


def titles(text):
    shown = lxml.html.fromstring(text).xpath("//h3")
    found = [re.search(r"(?:Graph networks|Sour bread) of \d", one.text_content()) for one in shown]
    return [one[0] for one in found if one]


def test_preview_shows_first_email_and_frequency(client, papers):
    text = page(client, "/preview/", interests="graph networks")
    assert titles(text) == [f"Graph networks of {ago}" for ago in (0, 0, 2, 5, 2, 5)]
    assert "<mark>graph networks</mark>" in text
    assert "Your first email: 4 papers" in text
    assert "From 8 recent papers." in text
    words = " ".join(lxml.html.fromstring(text).text_content().split())
    assert "Then about 2 a week: 30 May: 1, 27 May: 1" in words
    assert words.count("On days without papers, no email is sent.") == 1


def test_chosen_interests_stay_in_form(client, papers):
    make.topic("Bread", slug="bread")
    text = page(client, interests="graph networks", topics="bread")
    part = page(client, "/preview/", interests="graph networks", topics="bread")
    assert len(titles(part)) == 8 + 4
    assert re.search(r'value="bread" checked', text)
    assert ">\ngraph networks</textarea>" in text


def test_preview_url_omits_email_address(client, papers):
    sent = {"email": "ada@example.org", "hour": "7", "topics": ["a", "b"], "interests": "x\ny"}
    response = client.post("/preview/", sent)
    assert response.status_code == 302
    assert response["Location"] == "/?topics=a&topics=b&interests=x%0Ay#digest"
    sent["interests"] = "\n".join(["graph networks", *(f"{n} {'word' * 400}" for n in range(5))])
    response = client.post("/preview/", sent)
    assert response.status_code == 200
    assert "Graph networks of 0" in response.content.decode()


def test_partial_preview_equals_part_of_page(client, papers):
    for sent in ({"interests": "graph networks"}, {}):
        part = page(client, "/preview/", **sent)
        assert "<html" not in part
        whole = lxml.html.fromstring(page(client, **sent))
        for one in lxml.html.fragments_fromstring(part):
            element = whole.get_element_by_id(one.get("id"))
            assert element.text_content().split() == one.text_content().split()


def test_unusual_interests_are_answered(client, papers):
    too_many = {"interests": "\n".join(words(n * 40, 40) for n in range(40))}
    long = {"interests": "x" * 20_001}, "under 20000 characters."
    for sent, expected in [*CASES["answers"], long, (too_many, "Part of your first")]:
        text = page(client, **sent)
        assert expected in text
        assert "<script>alert" not in text
        assert "Nothing to search for" not in text


def test_older_papers_are_linked_when_week_has_none(client, papers):
    make.paper("Rye & spelt", day=TODAY - 30 * DAY, authors=["Emmy Noether"])
    index_store.renew(NOW)

    def links(interests):
        part = lxml.html.fromstring(page(client, "/preview/", interests=interests))
        return part.xpath("//a[starts-with(@href, '/search/')]/@href")

    lines = "words: rye & spelt\nauthor: Emmy Noether"
    assert links(lines) == ["/search/?q=rye%20%26%20spelt", "/search/?q=author%3A%20Emmy%20Noether"]
    assert links("graph networks") == []
    assert links("zzyzx") == []  # No paper ever said it.
    assert links("author: Emy Noether") == []


def test_shorter_phrases_are_offered_when_week_has_none(client, papers):
    make.topic("Roads", query="roads, motorways")
    make.topic("Bread", query="dough")
    part = lxml.html.fromstring(page(client, "/preview/", interests="networks of roads in 1803"))
    assert part.xpath("//*[@id='digest']//button/text()") == ["networks of roads", "Roads"]
    shorter, topic = part.xpath("//*[@id='digest']//button/@value")
    with_topic = "networks of roads in 1803\ntopic: Roads"
    for edit, lines in ((shorter, "networks of roads"), (topic, with_topic)):
        sent = {"interests": "networks of roads in 1803", "edit_interests": edit}
        response = client.post("/preview/", sent, follow=True)
        assert f">\n{lines}</textarea>" in response.text


def test_misspelt_interest_has_one_correction_and_nothing_to_send(client, papers):
    index_store.renew(NOW)
    part = lxml.html.fromstring(page(client, "/preview/", interests="netwroks of graph"))
    assert part.xpath("//*[@id='digest']//button | //*[@id='digest']//a[@href='#id_email']") == []
    assert "Did you mean" in part.text_content()


def test_preview_fits_no_model(client):
    make.paper("Graph networks")
    assert "Previews start a few minutes after" in page(client, interests="graph networks")


def test_preview_asks_to_wait_when_server_is_busy(client, papers, monkeypatch):
    monkeypatch.setattr(slots, "WAIT_SECONDS", 0)
    with slots.slot(), slots.slot():
        assert "The server is busy" in page(client, "/preview/", interests="graph networks")
    assert "Graph networks of 0" in page(client, "/preview/", interests="graph networks")


def test_preview_is_private_and_not_indexed(client, papers):
    for path in ("/", "/preview/"):
        response = client.get(path, {"interests": "graph networks"})
        assert "private" in response["Cache-Control"]
        assert response["X-Robots-Tag"] == "noindex"
    response = client.get("/")
    assert "public" in response["Cache-Control"]
    assert not response.cookies


def test_home_page_shows_an_example_digest(client, papers):
    for name in ("Rye", "Bread"):  # Nobody writes about rye.
        make.topic(name, query=name.lower() if name == "Rye" else "sour bread")
    for number in range(3):
        make.paper(f"Sour bread of {number}", make.about("dough and bread"), day=TODAY)
    model_store.fit(NOW)
    part = lxml.html.fromstring(page(client, "/preview/"))
    assert part.xpath("string(//h2)") == "Example: Bread"
    assert "7 picks from 11" in part.text_content()
    assert set(part.xpath("//mark/text()")) == {"Bread: sour bread"}


def test_invalid_email_keeps_form_content(client, papers):
    make.topic("Bread", slug="bread")
    sent = {"email": "nowhere", "interests": "graph networks", "topics": "bread", "hour": "9"}
    response = client.post("/", sent)
    assert response.status_code == 400
    assert "no-store" in response["Cache-Control"]
    tree = lxml.html.fromstring(response.text)
    (form,) = tree.xpath("//form[@data-preview]")
    assert sent.items() <= {name: text.strip() for name, text in form.form_values()}.items()
    assert titles(lxml.html.tostring(form, encoding="unicode"))[:2] == ["Graph networks of 0"] * 2
    assert tree.xpath("//*[@autofocus]/@name") == ["email"]
    assert len(tree.xpath("//*[contains(@class, 'errorlist')]")) == 1
    assert not Subscriber.objects.exists()
    assert client.post("/", sent | {"email": "you@example.org"}).status_code == 200
    assert Subscriber.objects.get().hour == 9
