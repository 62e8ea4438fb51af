"""What publishers write into feeds, each in its own way, and markup of deposited abstracts."""

import time
from html import escape

import pytest

from digest.sources import publishers
from tests.factories.harvests import found, harvesting, only, serving
from tests.helpers.data_files import cases
from tests.servers.journals import ABSTRACT, JournalServer

CASES = cases("publishers")

server = serving(JournalServer)
run = harvesting(lambda server, **options: server.source(**options))

DOI = "10.1000/bread.1"


@pytest.mark.parametrize("publisher", CASES["layouts"])
def test_items_are_read_in_each_publishers_layout(server, run, publisher):
    layout = CASES["layouts"][publisher]
    elements, description, doi = (
        layout[name].replace("{abstract}", ABSTRACT).replace("{doi}", DOI)
        for name in ("elements", "description", "doi")
    )
    server.kind = "rss2"
    title = "<title>Breads, Vol. 3, Pages 1: On bread</title>"
    server.items = [
        f"<item>{title}{elements}<description>{escape(description)}</description></item>"
    ]
    record = only(run())
    assert (record.title, record.doi, record.authors) == ("On bread", doi, layout["authors"])
    assert record.journal_ref == layout["journal"]
    assert record.abstract == (ABSTRACT if layout["has_abstract"] else "")


def test_news_covers_and_back_matter_are_left_out(server, run):
    server.add(1, doi="10.1038/d41586-026-00001-1")
    server.add(2, title="BRD volume 3 issue 5 Cover and Back matter")
    server.items.append(
        "<item><title>A loaf</title><prism:section>Cover Picture</prism:section></item>"
    )
    server.add(4, title="Cover crops", doi="10.1038/s41586-026-00001-1")
    assert [record.title for record in found(run())] == ["Cover crops"]


@pytest.mark.parametrize(("markup", "text"), CASES["markup"])
def test_tags_separate_words_by_their_context(markup, text):
    assert " ".join(publishers.strip_tags(markup).split()) == text


def test_chinese_abstracts_are_kept():
    text = "面包在烤箱中发酵并被测量，我们再次烘烤它，结果表明面包会膨胀。"
    assert publishers.read(f"陈文红;陈润征;</br>{text}") == (text, {"authors": "陈文红;陈润征;"})


@pytest.mark.parametrize("piece", ["Ab Cd, ", "Ab 1 ", " ,", "<i>ab</i>cd"])
def test_long_descriptions_are_read_in_linear_time(piece):
    begun = time.process_time()
    for start in ("", "Authors: "):
        _, fields = publishers.read(f"{start}{piece * 10_000}x.")
        publishers.ET_AL.sub("", fields.get("authors", ""))
    assert time.process_time() - begun < 2
