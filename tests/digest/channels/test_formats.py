"""Messages to channels: in the format of each, within its limits, whatever titles say."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from digest.channels import formats
from digest.channels.formats import ChannelMessage, MessagePaper
from subscriptions.models import Subscriber

MESSAGES = Path(__file__).parent / "messages"
KINDS = [*Subscriber.Channel]
TRAP = "<!everyone> @here & @channel <b> [x](http://x/) *bold* 🧪"


def post(count=2, title="Graphs <are> & trees", **fields):
    about = {"authors": "Ada A, Bo B", "reason": "Matches “graph”"}
    papers = [
        MessagePaper(f"2606.{n}", title, f"http://localhost:8000/papers/2606.{n}/", **about)
        for n in range(1, count + 1)
    ]
    usual = {"title": "2 picks", "day": "2026-06-01", "text": "1 Graphs, 1 New"}
    return ChannelMessage("a-public-id", papers=papers, **usual | fields)


def message(kind, post):
    return json.loads(formats.payload(kind, post))


@pytest.mark.parametrize("kind", KINDS)
def test_digest_has_format_of_its_channel(kind):
    written = message(kind, post())
    assert written == json.loads((MESSAGES / f"{kind}.json").read_text())


def test_long_digest_stays_within_limits():
    long = post(50, title="Ünïcödé 🧪 " * 36)
    slack, teams = message("slack", long), formats.payload("teams", long)
    text, apprise = message("telegram", long)["text"], message("apprise", long)["body"]
    assert len(slack["blocks"]) <= 50
    assert len(json.dumps(slack["blocks"], ensure_ascii=False)) <= 13_000
    assert len(slack["text"].encode("utf-16-le")) <= 2 * 2_000
    assert len(text.encode("utf-16-le")) <= 2 * 4_096
    assert len(teams) <= 28_000
    assert len(apprise.encode()) <= 4_000
    for part in (slack["text"], json.dumps(slack["blocks"]), text, teams.decode(), apprise):
        assert "more" in part
        assert "http://localhost:8000" in part
    assert len(message("json", long)["papers"]) == 50


def test_titles_are_escaped_without_mentions():
    slack = message("slack", post(1, title=TRAP))
    html = message("telegram", post(1, title=TRAP))["text"]
    for part in (slack["text"], slack["blocks"][2]["text"]["text"], html):
        assert "&lt;!everyone&gt; @\u2060here &amp; @\u2060channel &lt;b&gt; [x]\u2060(http" in part


TITLES = [TRAP, "A [b](http://x/) _c_ *d* `e` ~f~ (g) \\", "<at>Ada</at> &lt;b&gt; <http://x/>"]
TITLES += ["- a", "+ b", "# c", "12. d", "2024) e", "***", "f\n\n# g", "[h]: http://x/"]


@pytest.mark.parametrize("text", TITLES)
def test_teams_shows_titles_and_texts_as_they_are(text):
    sent = message("teams", post(1, title=text, text=text))
    blocks = sent["attachments"][0]["content"]["body"]
    assert {(block["type"], block["wrap"]) for block in blocks} == {("TextBlock", True)}
    expected = " ".join(text.split()).replace("@", "@\u2060")
    url = "http://localhost:8000/papers/2606.1/"
    for block, words in ((blocks[1], expected), (blocks[2], f"1. {expected}")):
        root = ElementTree.fromstring(MarkdownIt("commonmark").render(block["text"]))
        links = [link.get("href") for link in root.iter("a")]
        assert "".join(root.itertext()) == words
        assert links == ([url] if block is blocks[2] else [])
        assert {element.tag for element in root.iter()} <= {"p", "a"}
