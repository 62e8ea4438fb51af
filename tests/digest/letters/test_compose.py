"""Letters joined of blocks: what rendering each alone gives, whatever papers and readers say."""

import re
from email import message_from_bytes, policy

import lxml.html
import pytest
from hypothesis import HealthCheck, given, settings

from digest.letters import compose
from digest.models import Paper
from subscriptions.mail import plaintext
from subscriptions.mail.byte_templates import line_slot, token_slot
from subscriptions.security import tokens
from tests.factories.letter_data import material_of, materials, mime_of
from tests.factories.make import NOW
from tests.factories.reference_letter import alone
from tests.helpers import services

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
]


@services.once
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(materials())
def test_a_joined_letter_is_byte_for_byte_the_one_that_is_rendered_alone(material):
    assert mime_of(compose.render(material)) == mime_of(alone(material))


@services.once
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(materials())
def test_whatever_papers_and_readers_say_the_letter_is_valid_and_hers_alone(material):
    mime = mime_of(compose.render(material))
    assert re.fullmatch(rb"(?:[\t -~]{0,998}\r\n)*", mime)
    message = message_from_bytes(mime, policy=policy.default)
    parts = list(message.walk())
    assert not [part.defects for part in parts if part.defects]
    assert message.keys() == HEADERS
    assert message["To"] == "reader@example.org"
    assert [part.get_content_type() for part in parts] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    text, html = (part.get_content().replace("\r\n", "\n") for part in parts[1:])
    unseen = plaintext.UNSEEN.search(f"{message['Subject']}{text}{html}")
    assert unseen is None, unseen
    assert line_slot("") not in text + html
    assert token_slot("x")[22:] not in text + html
    page = lxml.html.fromstring(html.encode())
    assert not page.xpath("//script|//form|//iframe|//img|//@onclick")
    shown = page.xpath("//@data-paper-id")
    assert shown == [pick.paper_id for pick in material.picks]
    numbered = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert numbered == [str(pick.position) for pick in material.picks]
    unsubscribe = tokens.unsubscribe_url(material.subscriber)
    assert unsubscribe in text
    assert unsubscribe in page.xpath("//@href")


@pytest.mark.parametrize("moved_at", [None, NOW])  # Who moved has longer links.
def test_fifty_papers_of_the_longest_kind_leave_the_foot_in_sight(moved_at):
    material = material_of(["&" * 500 for _ in range(50)])
    material.subscriber.moved_at = moved_at
    for pick in material.picks:
        pick.paper.url = "https://example.org/" + "&" * 480
        pick.paper.github = "https://github.com/" + "&" * 480
        pick.topic_name = "&" * 200
    content = compose.render(material)
    assert len(content.html.encode()) < 80_000
    shown = content.html.count("data-paper-id")
    assert 0 < shown < 50
    for part in (content.text, content.html):
        assert f"{50 - shown} more papers are on the web" in " ".join(part.split())
        assert tokens.unsubscribe_url(material.subscriber) in part
    numbered = re.findall(r"^(\d+)\. ", content.text, re.MULTILINE)
    assert numbered == [str(number) for number in range(1, shown + 1)]


@pytest.mark.parametrize("form", compose.DENSITIES)
def test_each_form_of_a_letter_is_the_one_that_is_rendered_alone(form, monkeypatch):
    monkeypatch.setattr(compose, "DENSITIES", [form])
    material = material_of(["Graphs & <b>", "Long " * 100])
    material.picks[0].would_fold = [Paper(id=f"x{n}", title="Also") for n in range(4)]
    assert mime_of(compose.render(material)) == mime_of(alone(material, form))
