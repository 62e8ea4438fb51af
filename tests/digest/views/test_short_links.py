"""Short links of the text part: they open what the long ones open, as long as those do."""

import re
from urllib.parse import unquote

import pytest

from digest.letters import compose
from digest.views import reader
from subscriptions.models import Subscriber
from subscriptions.security import tokens
from tests.factories import emails, make
from tests.factories.make import DAY, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def digest(settings):
    settings.SITE_URL = "https://papers.example.org"
    return emails.stored_digest(make.subscriber(), 4)


def links(digest):
    """Return the paths of the short links in the text part."""
    (data,) = compose.load([digest])
    urls = re.findall(r"https\S+/e/\S+", compose.render(data).text)
    assert max(map(len, urls)) <= 60
    return [url[26:] for url in dict.fromkeys(urls)]


def test_short_links_redirect_to_long_ones(client, digest):
    own = tokens.own_token
    subscriber = digest.subscriber
    feedback = f"/feedback/{own('feedback', subscriber)}/?paper="
    papers = [feedback + pick.paper_id for pick in digest.picks.with_papers()]
    responses = [client.get(path) for path in links(digest)]
    assert {unquote(response.url) for response in responses} == {
        f"/digests/{own('digest', subscriber, digest.public_id)}/",
        f"/preferences/{own('preferences', subscriber)}/",
        *papers,
    }
    for response in responses:
        assert response.status_code == 302
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "no-referrer"
        assert client.get(response.url).status_code == 200


def test_short_links_end_with_address_change(client, digest):
    before = links(digest)
    moved = Subscriber.objects.filter(pk=digest.subscriber_id)
    moved.update(moved_at=NOW)
    digest.subscriber.refresh_from_db()
    after = links(digest)
    assert {client.get(path, follow=True).status_code for path in before} == {410}
    assert {client.get(path, follow=True).status_code for path in after} == {200}
    moved.update(moved_at=NOW + DAY)  # The links before the last are not known.
    assert {client.get(path, follow=True).status_code for path in after} == {404}


def test_short_link_guesses_are_rate_limited(client, digest):
    path = next(path for path in links(digest) if path.startswith("/e/p"))
    other = make.subscriber()
    token = tokens.short_token("preferences", other.pk, digest.subscriber.public_id)
    wrong = [path.replace("/e/p", "/e/f"), path.replace("/e/p", "/e/d"), f"/e/{token}/"]
    wrong += [f"{path}1/", "/e/x/", path[:-3] + "xy/"]
    assert [client.get(url).status_code for url in wrong] == [404] * len(wrong)
    for _ in range(reader.MAX_BAD_LINKS_AN_HOUR - len(wrong)):
        client.get("/e/x/")
    assert client.get("/e/x/").status_code == 429
    assert client.get(path).status_code == 302
