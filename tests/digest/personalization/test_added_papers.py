"""Papers added as interests: read or looked up by a worker, ranked by, private, and erased."""

import lxml.html
import pytest

from digest.indexing import index_store
from digest.models import AddedPaper, Paper, Pick
from digest.personalization import added_papers
from digest.personalization.profiles import profiles_of
from digest.planning import plan
from digest.wording import reason_of
from subscriptions.models import Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.feedback import address
from tests.factories.harvests import serving
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.servers.look_ups import LookUpServer, work
from tests.servers.loopback import DOWN, web_page

pytestmark = pytest.mark.django_db

server = serving(LookUpServer)
ORCID = "0000-0002-1825-0097"
ROADS = "How roads of asphalt age in the frost"


@pytest.fixture
def papers():
    for number in range(8):
        make.paper(f"Asphalt {number}", make.about("how roads of asphalt age in the frost"))
        make.paper(f"Rice {number}", make.about("rice that farmers cook in pots of clay"))
    index_store.renew(NOW)


def adding(*texts, kind="paper", **fields):
    """Return a new subscriber with these papers as interests."""
    someone = make.subscriber(interests="\n".join(texts), **fields)
    someone.own_topics.update(kind=kind)
    return someone


def read(server, now=NOW):
    return added_papers.read_due_papers(server.look_ups(), lambda: now)


def test_added_paper_is_looked_up_after_confirmation(server, papers, client):
    server.arxiv["2001.00001"] = ROADS, make.about(ROADS)
    sent = {"email": "ada@example.org", "interests": "https://arxiv.org/abs/2001.00001v2"}
    client.post("/subscribe/", sent)
    assert read(server) == 0
    assert not server.asked
    someone = Subscriber.objects.get()
    client.post(tokens.answer_url(someone, "confirm", someone.asked_at))
    Subscriber.objects.update(confirmed_at=NOW, next_due_at=NOW)
    assert plan.plan(NOW + MINUTE).letters == 0
    assert read(server, NOW + MINUTE) == 1
    assert plan.plan(NOW + MINUTE).letters == 1
    picks = Pick.objects.filter(digest__subscriber=someone)
    assert {reason_of(pick).partition(":")[0] for pick in picks} == {
        f"Like “{ROADS}”, which you added"
    }
    assert all(pick.paper.title.startswith("Asphalt") for pick in picks)


def test_first_digest_waits_briefly_for_look_up(server, papers):
    adding("2001.00001", "asphalt roads", confirmed_at=NOW, next_due_at=NOW)
    assert plan.plan(NOW + MINUTE).letters == 0
    assert plan.plan(NOW + added_papers.WAIT + MINUTE).letters == 1


def test_looked_up_paper_is_not_published(server, papers, client):
    server.arxiv["2001.00001"] = ROADS, make.about(ROADS)
    adding("2001.00001")
    count = Paper.objects.count()
    read(server)
    assert (AddedPaper.objects.count(), Paper.objects.count()) == (1, count)
    assert ROADS not in client.get("/papers/2001.00001/").text


def test_known_papers_are_not_looked_up(server, papers):
    stored = make.paper("Roads of old", "Asphalt.", day=NOW.date() - 300 * DAY)
    someone = adding(stored.pk, f"On roads | {make.about('roads')}", f"{ORCID[:-1]} asphalt roads")
    assert read(server) == 3
    assert not server.asked
    stored.delete()
    texts = [text.partition("\n")[0] for text in examples(someone)]
    assert texts == ["Roads of old", "On roads", f"{ORCID[:-1]} asphalt roads"]


def test_a_title_counts_until_its_abstract_is_found(server, papers):
    server.crossref["10.1000/1"] = {"title": ["On roads"], "abstract": make.about(ROADS)}
    someone = adding("On roads doi:10.1000/1")
    assert examples(someone) == ["On roads\nOn roads\n"]
    read(server)
    assert examples(someone) == [f"On roads\nOn roads\n{make.about(ROADS)}"]


def examples(someone):
    return [one.text for follow in profiles_of([someone])[0].follows for one in follow.examples]


@pytest.mark.parametrize("failure", [DOWN, web_page()])
def test_failed_look_up_is_retried_with_backoff(server, client, failure):
    someone = adding("2001.00001")
    now = NOW
    for tries in range(1, added_papers.MAX_TRIES + 1):
        server.answers.append(failure)
        read(server, now)
        read(server, now + HOUR / 2)
        assert len(server.asked) == tries
        now += added_papers.RETRY * 2 ** (tries - 1)
    assert read(server, now + 30 * DAY) == 0
    assert len(server.asked) == added_papers.MAX_TRIES
    assert "Not found" in hint(client, someone)


def hint(client, someone):
    page = lxml.html.fromstring(client.get(address("preferences", someone)).text)
    return " ".join(page.get_element_by_id("entries_interests").text_content().split())


def test_chip_shows_look_up_state(server, client):
    someone = adding("2001.00001")
    assert "Being looked up" in hint(client, someone)
    server.arxiv["2001.00001"] = ROADS, ""
    read(server)
    assert f"like “{ROADS}”" in hint(client, someone)
    assert "looked up" not in hint(client, someone)
    other = adding("2001.00002", email="other@example.org")
    read(server)
    assert "Not found. Paste the titles" in hint(client, other)


def test_a_subscriber_has_twenty_look_ups_a_day(server):
    adding(*(f"2001.{n:05}" for n in range(25)))
    other = adding("2002.00001", email="other@example.org")
    assert read(server) == 0
    assert AddedPaper.objects.filter(topic__owner=other).count() == 1
    read(server, NOW + HOUR)
    assert len(server.asked) == added_papers.MAX_A_DAY + 1
    assert not added_papers.unread_topics().exists()  # No digest waits for the others.
    read(server, NOW + DAY + HOUR)
    assert len(server.asked) == 26


def test_nothing_is_looked_up_for_inactive_subscribers(server):
    adding("2001.00001", unsubscribed_at=NOW)
    adding("2001.00002", email="b@example.org", suppressed_at=NOW)
    adding("2001.00003", email="c@example.org", confirmed_at=None)
    assert read(server) == 0
    assert not server.asked


def test_nothing_is_looked_up_when_disabled(server, settings, client):
    settings.LOOK_UPS = False
    adding("2001.00001")
    read(server)
    assert not server.asked
    page = client.get("/preview/", {"interests": f"2001.00001\n{ORCID}"}).text
    assert "We don’t have this paper. Paste its title and abstract instead." in page
    assert "looked up" not in page
    assert "Crossref" not in client.get("/privacy/").text


def test_orcid_papers_count_after_confirmation(server, papers, client):
    server.orcid[ORCID] = [work(ROADS, doi="10.1000/1"), work("Of asphalt & more")]
    someone = adding(ORCID, kind="orcid")
    url = address("preferences", someone)
    read(server)
    assert not examples(someone)
    page = lxml.html.fromstring(client.get(url).text)
    (button,) = page.xpath("//*[@id='entries_interests']//li//button[@class='plain']")
    assert button.getparent().xpath("./ol/li/text()") == [ROADS, "Of asphalt & more"]
    sent = {"interests": ORCID, button.get("name"): button.get("value")}
    page = lxml.html.fromstring(client.post(url, sent, follow=True).text)
    text = page.get_element_by_id("id_interests").value
    client.post(url, {"action": "save_interests", "interests": text})
    assert [text.splitlines()[0] for text in examples(someone)] == [ROADS, "Of asphalt & more"]


def test_muted_papers_hide_similar_ones(papers):
    make.paper("Soup", "Farmers salt soup in pots of clay, and taste it at home before dinner.")
    index_store.renew(NOW)
    text = f"On roads | {make.about('how roads of asphalt age in the frost')}"
    someone = adding(text, confirmed_at=NOW - DAY)
    someone.preferences.update(stance="mute")
    topic = someone.own_topics.create(name="both", query="asphalt roads, soup of farmers")
    someone.preferences.create(topic=topic)
    plan.plan(NOW)
    assert [pick.paper.title for pick in Pick.objects.all()] == ["Soup"]


def test_unconfirmed_orcid_delays_first_digest(server, papers):
    server.orcid[ORCID] = [work(ROADS)]
    someone = adding(ORCID, kind="orcid", confirmed_at=NOW - HOUR, next_due_at=NOW)
    read(server)
    assert plan.plan(NOW).letters == 0
    topic = someone.own_topics.create(name="roads", query="asphalt roads")
    someone.preferences.create(topic=topic)
    assert plan.plan(NOW).letters == 1
