"""Letters of digests, many at once: each is for its subscriber alone, whatever papers say."""

import re
from datetime import timedelta
from email import message_from_bytes, policy

import lxml.html
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings

from digest.letters import compose
from digest.models import Digest, Observation, Paper, Pick
from subscriptions.mail import plaintext, render
from subscriptions.mail.byte_templates import line_slot, token_slot
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.letter_data import material_of, materials, mime_of
from tests.factories.make import NOW
from tests.factories.reference_letter import alone
from tests.helpers import services

pytestmark = pytest.mark.django_db

DAY, TODAY = timedelta(days=1), NOW.date()


def stored(papers=(), kind="digest", subscriber=None, day=TODAY, **fields):
    """Store a digest of these papers. Return its letter, as the post office loads it."""
    subscriber = subscriber or make.subscriber(topics=[make.topic()])
    letter = subscriber.letters.create(kind=kind, day=day, created_at=NOW, closes_at=NOW, **fields)
    digest = Digest.objects.create(subscriber=subscriber, day=day, letter=letter)
    for position, paper in enumerate(papers, start=1):
        pick(digest, paper, position=position)
    return Letter.objects.select_related("subscriber").get(pk=letter.pk)


def words(part):
    return " ".join(part.split())


def pick(digest, paper, **fields):
    defaults = {"score": 1, "basis": "topic", "topic_name": "Graphs", "terms": ["graph"]}
    return Pick.objects.create(
        digest=digest, subscriber=digest.subscriber, paper=paper, **defaults | fields
    )


def composed(*letters):
    return list(compose.compose(letters, NOW))


def test_composing_queries_do_not_grow_with_letters(django_assert_num_queries):
    letters = [stored([make.paper(), make.paper()]) for _ in range(11)]
    for some in (letters[:1], letters):
        with django_assert_num_queries(5):
            assert all(content.html for content in composed(*some))


def test_only_mailing_list_digest_names_group():
    letters = [stored([make.paper()]), stored([make.paper()])]
    make.group("Lab", mailing_list=letters[0].subscriber)
    of_list, of_person = composed(*letters)
    assert "digest of the group “Lab”" in words(of_list.text)
    assert "“Lab”" not in words(of_person.text)


def test_batch_equals_letters_rendered_alone():
    shared = make.paper("Graphs & <b>", "We graph.", upvotes=12, github="https://github.com/a/b")
    for day, stars in ((TODAY - DAY, 99), (TODAY, 1234), (TODAY + DAY, None)):
        Observation.objects.create(paper=shared, source="hf", day=day, github_stars=stars)
    german = make.subscriber(language="de")
    letters = [stored([shared, make.paper()]), stored([make.paper(), shared], subscriber=german)]
    for leader in Pick.objects.filter(position=1):
        pick(leader.digest, make.paper("On the same idea"), leader=leader, basis="trend")
    contents = composed(*letters)
    for letter, content, said in zip(
        letters, contents, ("1,234 stars", "1.234 Sterne"), strict=True
    ):
        whole = list(letter.digest.picks.with_papers())
        (material,) = compose.load([letter.digest], picks={letter.subscriber_id: whole})
        assert mime_of(content) == mime_of(alone(material))
        assert said in content.html


def test_letter_reflects_current_rows():
    paper = make.paper("Graphs")
    letter = stored([paper])
    composed(letter)
    # Whatever writes a row, and although `changed_at` stays.
    Paper.objects.update(title="Graphs, second edition", upvotes=7)
    Observation.objects.create(paper=paper, source="hf", day=NOW.date(), github_stars=77)
    Pick.objects.update(terms=["edge"])
    Digest.objects.update(considered=4321)
    (content,) = composed(letter)
    for fact in ("Graphs, second edition", "7 upvotes", "77 stars", "edge", "4,321"):
        assert fact in words(content.text), fact


@pytest.mark.parametrize(
    ("doi", "target"), [("10.1000/A<b> 10.1/x", "10.1000/A%3Cb%3E"), ("", ""), ("none", "")]
)
def test_paper_with_doi_links_to_library(settings, doi, target):
    settings.LIBRARY_LINK = "https://libkey.io/{doi}"
    (content,) = composed(stored([make.paper(doi=doi)]))
    assert ("Full text" in content.html) == ("Full text: " in content.text) == bool(target)
    assert (f'href="https://libkey.io/{target}"' in content.html) == bool(target)


def test_only_first_digest_welcomes():
    subscriber = make.subscriber(timezone="America/New_York", hour=6)
    letter = stored([make.paper()], subscriber=subscriber)
    before = stored(subscriber=subscriber, day=TODAY - DAY, state="missed")
    (content,) = composed(letter)
    for part in (content.text, content.html):
        assert "This is your first digest" in words(part)
        assert "06:00 New York time" in words(part)
    Letter.objects.filter(pk=before.pk).update(state="accepted")
    if connection.vendor == "postgresql":  # Which may write days another way.
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL datestyle TO German")
    assert "This is your first digest" not in composed(letter)[0].html


def test_unreadable_letter_costs_only_itself():
    bad, good, gone = (stored([make.paper()]) for _ in range(3))
    Pick.objects.filter(digest__letter=bad).update(terms=5)  # No list of words.
    gone.digest.delete()
    types = [type(one) for one in composed(bad, good, stored(), gone)]
    assert types == [TypeError, render.Content, render.NoContent, Digest.DoesNotExist]


def test_links_are_for_one_purpose_and_subscriber():
    paper, unread = make.paper(), make.subscriber(topics=[make.topic()], wants_quiet_days=True)
    letters = [stored([paper]), stored(subscriber=unread), stored([paper])]
    for letter, content in zip(letters, composed(*letters), strict=True):
        subscriber, digest = letter.subscriber.public_id, letter.digest.public_id
        expected = {("preferences", subscriber), ("unsubscribe", subscriber)}
        if letter.subscriber != unread:
            expected |= {("feedback", subscriber), ("digest", digest)}
        pages = r"/(preferences|unsubscribe|feedback|digest)s?/([^/]+)/"
        links = set(re.findall(pages, content.html + dict(content.headers)["List-Unsubscribe"]))
        assert {(page, tokens.parse_token(page, token)[0]) for page, token in links} == expected
        shorts = {purpose[0] for purpose, _ in expected} - {"u"}
        assert set(re.findall("/e/([a-z])", content.text)) == shorts


# ---- Each form of a letter, whatever papers and subscribers say

HEADERS = (
    "From To Subject Date Message-ID List-Id List-Unsubscribe List-Unsubscribe-Post Feedback-ID "
    "Auto-Submitted X-Auto-Response-Suppress Content-Language MIME-Version Content-Type"
)
PARTS = ["multipart/alternative", "text/plain", "text/html"]
MANY = settings(max_examples=60, suppress_health_check=list(HealthCheck))
FEW = settings(MANY, max_examples=6)


def check(material):
    """Check that a letter is joined as it is rendered alone, valid, and its subscriber's alone."""
    mime = mime_of(compose.render(material))
    assert mime == mime_of(alone(material))
    assert re.fullmatch(rb"(?:[\t -~]{0,998}\r\n)*", mime)
    message = message_from_bytes(mime, policy=policy.default)
    parts = list(message.walk())
    assert not [part.defects for part in parts if part.defects]
    assert " ".join(message.keys()) == HEADERS
    assert message["To"] == "reader@example.org"
    assert [part.get_content_type() for part in parts] == PARTS
    text, html = (part.get_content().replace("\r\n", "\n") for part in parts[1:])
    unseen = plaintext.INVISIBLE.search(f"{message['Subject']}{text}{html}")
    assert unseen is None, unseen
    assert line_slot("") not in text + html
    assert token_slot("x")[22:] not in text + html
    page = lxml.html.fromstring(html.encode())
    assert not page.xpath("//script|//form|//iframe|//img|//@onclick")
    assert page.xpath("//@data-paper-id") == [pick.paper_id for pick in material.picks]
    numbered = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert numbered == [str(pick.position) for pick in material.picks]
    unsubscribe = tokens.unsubscribe_url(material.subscriber)
    assert unsubscribe in text
    assert unsubscribe in page.xpath("//@href")


@services.once
@pytest.mark.parametrize("effort", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_any_letter_is_valid_and_equals_single_rendering(effort):
    effort(given(materials())(check))()


def test_fifty_longest_papers_leave_news_and_footer_visible():
    material = material_of(["&" * 500] * 50)
    material.subscriber.moved_at = NOW  # Who moved has longer links.
    material.news = [{"title": f"News {'&' * 160}", "link": "http://x/", "said": "y."}] * 20
    for pick in material.picks:
        pick.paper.url = "https://example.org/" + "&" * 480
        pick.paper.github = "https://github.com/" + "&" * 480
        pick.topic_name = "&" * 200
    content = compose.render(material)
    assert len(content.html.encode()) < 80_000
    count = content.html.count("data-paper-id")
    assert 0 < count < 50
    for part in (content.text, content.html):
        assert f"{50 - count} more papers are in the web version" in words(part)
        assert tokens.unsubscribe_url(material.subscriber) in part
        assert part.count("News") == 20
    numbered = re.findall(r"^(\d+)\. ", content.text, re.MULTILINE)
    assert numbered == [str(number) for number in range(1, count + 1)]
