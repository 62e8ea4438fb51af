"""Messages to channels: in the format of each, within its limits, whatever titles say."""

import json
from pathlib import Path

import pytest

from digest.channels import formats
from digest.channels.formats import ChannelMessage, MessagePaper

MESSAGES = Path(__file__).parent / "messages"
KINDS = ["slack", "teams", "telegram", "json"]
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
def test_a_digest_is_written_in_the_format_of_its_channel(kind):
    written = message(kind, post())
    assert written == json.loads((MESSAGES / f"{kind}.json").read_text())


def test_a_long_digest_stays_within_every_limit_and_says_how_much_is_left_out():
    long = post(50, title="Ünïcödé 🧪 " * 18)
    slack, teams = message("slack", long), formats.payload("teams", long)
    text = message("telegram", long)["text"]
    assert len(slack["blocks"]) <= 50
    assert len(json.dumps(slack["blocks"], ensure_ascii=False)) <= 13_000
    assert len(slack["text"].encode("utf-16-le")) <= 2 * 2_000
    assert len(text.encode("utf-16-le")) <= 2 * 4_096
    assert len(teams) <= 28_000
    for said in (slack["text"], json.dumps(slack["blocks"]), text, teams.decode()):
        assert "more" in said
        assert "http://localhost:8000" in said
    assert len(message("json", long)["papers"]) == 50


@pytest.mark.parametrize("count", [46, 47, 48])
def test_slack_gets_fifty_blocks_at_most(count):
    blocks = message("slack", post(count, title="A"))["blocks"]
    assert len(blocks) <= 50
    assert (len(blocks) == count + 3) == (count <= 47)


def test_a_title_mentions_nobody_and_changes_no_markup():
    slack = message("slack", post(1, title=TRAP))
    html = message("telegram", post(1, title=TRAP))["text"]
    for said in (slack["text"], slack["blocks"][2]["text"]["text"], html):
        assert "&lt;!everyone&gt; @\u2060here &amp; @\u2060channel &lt;b&gt; [x]\u2060(http" in said
    inlines = message("teams", post(1, title=TRAP))["attachments"][0]["content"]["body"][2]
    assert inlines["inlines"][0]["text"] == f"1. {TRAP}"
    assert inlines["inlines"][0]["type"] == "TextRun"


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_without_papers_is_well_formed(kind):
    assert "2 picks" in json.dumps(message(kind, post(0, text="")))
