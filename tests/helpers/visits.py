"""Pages of papers and feeds, as visitors read them."""

from datetime import timedelta

import lxml.etree
import lxml.html
from django.utils.http import urlencode

from digest.views import feeds
from tests.factories.make import NOW

DAY = timedelta(days=1)
TODAY = NOW.date()
ATOM = {"a": "http://www.w3.org/2005/Atom"}
ODD = "<script>alert(1)</script> & graphs"


def page_of(client, path, status=200, **headers):
    response = client.get(path, headers=headers)
    assert response.status_code == status
    return lxml.html.fromstring(response.content)


def titles(page):
    return [title.text_content() for title in page.xpath("//*[@class='paper-title']")]


def feed_of(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/atom+xml; charset=utf-8"
    return lxml.etree.fromstring(response.content)


def texts(feed, path):
    return [str(found) for found in feed.xpath(path, namespaces=ATOM)]


def search(client, asked, **more):
    return page_of(client, f"/search/?{urlencode({'q': asked, **more})}")


def feed_path(subscriber):
    return feeds.url(subscriber).removeprefix("http://127.0.0.1:8000")
