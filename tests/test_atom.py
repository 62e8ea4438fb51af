"""The judge of feeds finds what is wrong with one."""

from datetime import UTC, datetime

import pytest
from django.utils.feedgenerator import Atom1Feed

from tests import atom

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def feed():
    made = Atom1Feed("Papers", "http://x.org/", None, subtitle="New", feed_url="http://x.org/feed/")
    for number in (1, 2):
        made.add_item(
            title=f"Paper {number}",
            link=f"http://x.org/{number}",
            description="On bread.",
            author_name="Ada Example",
            updateddate=NOW,
            unique_id=f"tag:x.org,2026:{number}",
        )
    return made.writeString("utf-8")


def test_a_good_feed_has_no_fault():
    assert atom.faults(feed().encode()) == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("<id>tag:x.org,2026:2</id>", "<id>tag:x.org,2026:1</id>", "twice the same id"),
        ("<id>tag:x.org,2026:2</id>", "<id>2</id>", "no absolute address"),
        ("<id>tag:x.org,2026:2</id>", "", "an element that is missing or there twice"),
        ("<title>Papers</title>", "<title> </title>", "an empty title or name"),
        ("2026-06-01T12:00:00+00:00", "2026-06-01 12:00", "no date"),
        ("<author><name>Ada Example</name></author>", "", "an entry without an author"),
        ("<name>Ada Example</name>", "<nick>Ada</nick>", "an author without a name"),
        ('<summary type="html">', '<summary type="html"><b/>', "elements in a text"),
        ("<subtitle>", "<subtitle>One</subtitle><subtitle>", "there twice"),
        ("<subtitle>", "<description>One</description><subtitle>", "an element that is unknown"),
        ('rel="self"', 'rel="alternate"', "no link to itself"),
        ('href="http://x.org/1" rel="alternate"', 'href="1" rel="alternate"', "no absolute"),
        (
            'href="http://x.org/1" rel="alternate"',
            'href="http://x.org/1" rel="related"',
            "without a",
        ),
    ],
)
def test_a_fault_is_told(good, bad, fault):
    assert good in feed()
    assert fault in " | ".join(atom.faults(feed().replace(good, bad, 1).encode()))
