"""What publishers write into feeds, each in its own way, and markup of deposited abstracts."""

import time
from html import escape

import pytest

from digest.sources import publishers
from tests.factories.harvests import found, harvesting, only, serving
from tests.servers.journals import ABSTRACT, JournalServer

server = serving(JournalServer)
run = harvesting(lambda server, **options: server.source(**options))

DOI, LINK = "10.1000/bread.1", "<link>http://bread.example/1</link>"
BOTH, PRISM = ["Ada Roe", "Bo van Wit"], f"<prism:doi>{DOI}</prism:doi>"
CREATORS = "<dc:creator>Ada Roe</dc:creator><dc:creator>Bo van Wit</dc:creator>"
FEED = "Journal of Bread"  # Its name in the panel.
#: Elements of an item, its description, DOI, authors, journal, and whether it has the abstract.
PUBLISHERS = {
    "APS": (
        PRISM + CREATORS,
        f"<p>Author(s): Ada Roe and Bo van Wit</p><p>{ABSTRACT}</p><br/>"
        "<p>[Bread Rev. B 113, L184105] Published Mon May 04, 2026</p>",
        (DOI, BOTH, FEED, True),
    ),
    "Pensoft": (
        LINK,
        f"<p>BreadKeys 185: 87-98</p>\n\t<p>DOI: {DOI}</p>\n\t<p>Authors: Ada Roe, Bo van Wit</p>"
        f"<p>Abstract: {ABSTRACT}</p>\n\t<p><a href='a'>HTML</a></p>\n\t<p><a href='b'>PDF</a></p>",
        (DOI, BOTH, FEED, True),
    ),
    "Taylor & Francis": (
        f"{PRISM}{CREATORS}<prism:publicationName>On bread</prism:publicationName>",
        "Volume 56, Issue 3, December 2021, Page 182-187<br/>. <br/>",
        (DOI, BOTH, FEED, False),
    ),
    "ScienceDirect": (
        "<link>https://www.sciencedirect.com/science/article/pii/S0000000026001234</link>",
        "<p>Publication date: June 2026</p><p><b>Source:</b> Bread, Butter, Volume 3, Part A</p>"
        "<p>Author(s): Ada Roe, Bo van Wit</p>",
        ("", BOTH, "Bread, Butter", False),
    ),
    "OUP": (
        f"{PRISM}<author>Roe A, van Wit B, et al.</author>",
        f'<span class="x"><div class="boxTitle">Abstract</div>{ABSTRACT}</span>',
        (DOI, ["Roe A", "van Wit B"], FEED, True),
    ),
    "PubMed": (
        CREATORS + "<dc:source>Bread Res</dc:source>",
        f"<div><p>Bread Res. 2026 Jul 14;49(5):42-48. doi: {DOI}. Online ahead of print.</p>"
        f"<p><b>ABSTRACT</b></p><p>{ABSTRACT}</p><p>PMID:<a href='h?a=b c'>1</a> | "
        f"DOI:<a href=https://doi.org/{DOI}>{DOI}</a></p></div>",
        (DOI, BOTH, "Bread Res", True),
    ),
    "RSC": (
        "<link>http://pubs.rsc.org/en/Content/ArticleLanding/2026/BR/D6BR01234K</link>" + CREATORS,
        "<div><i><b>Bread Sci.</b></i>, 2026, <b>17</b>,891-898<br/></div><div><img alt='a'> &nbsp "
        "This article is licensed under a <a href='a'>Licence.</a></div><div>Ada Roe, Bo van Wit"
        f"</div><div>{ABSTRACT}</div><div>The content of this RSS Feed (c) The Society</div>",
        ("10.1039/d6br01234k", BOTH, FEED, True),
    ),
    "Nature": (
        f"{PRISM}{CREATORS}<dc:source>Bread, Published online: 2026-06-02; | doi:{DOI}</dc:source>",
        f'<p>Bread, Published online: 02 June 2026; <a href="a">doi:{DOI}</a></p>{ABSTRACT}',
        (DOI, BOTH, "Bread", True),
    ),
    "Wiley": (
        f"{PRISM}<dc:creator>Ada Roe, \nBo van Wit</dc:creator>",
        f"<img src='a'/><p>How bread rises, as a picture.</p><h2>ABSTRACT</h2><p>{ABSTRACT}</p>",
        (DOI, BOTH, FEED, True),
    ),
    "MDPI": (
        LINK,
        f"<p><b>Breads, Vol. 3, Pages 1: On bread</b></p><p>Breads <a href='a'>doi: {DOI}</a></p>"
        f"<p>Authors:\n\tAda Roe\n\tBo van Wit\n\t</p><p>{ABSTRACT}</p>",
        (DOI, BOTH, FEED, True),
    ),
    "Copernicus": (
        LINK,
        f"<b>On bread</b><br>\nAda Roe and Bo van Wit<br>\nBread Phys., 22, 1&ndash;19, "
        f"https://doi.org/{DOI}, 2026<br>\n{ABSTRACT}",
        (DOI, BOTH, FEED, True),
    ),
    "IEEE": (f"{PRISM}<authors>Ada Roe;Bo van Wit</authors>", ABSTRACT, (DOI, BOTH, FEED, True)),
    "data": (
        LINK + CREATORS,
        f"<p>{ABSTRACT}</p><p>Data are at https://doi.org/10.5000/data.1.</p>",
        ("", BOTH, FEED, True),
    ),
}


@pytest.mark.parametrize("publisher", PUBLISHERS)
def test_items_are_read_in_each_publishers_layout(server, run, publisher):
    elements, description, (doi, authors, journal, has_abstract) = PUBLISHERS[publisher]
    server.kind = "rss2"
    title = "<title>Breads, Vol. 3, Pages 1: On bread</title>"
    server.items = [
        f"<item>{title}{elements}<description>{escape(description)}</description></item>"
    ]
    record = only(run())
    assert (record.title, record.doi, record.authors) == ("On bread", doi, authors)
    assert (record.journal_ref, record.abstract) == (journal, ABSTRACT if has_abstract else "")


def test_news_covers_and_back_matter_are_left_out(server, run):
    server.add(1, doi="10.1038/d41586-026-00001-1")
    server.add(2, title="BRD volume 3 issue 5 Cover and Back matter")
    server.items.append(
        "<item><title>A loaf</title><prism:section>Cover Picture</prism:section></item>"
    )
    server.add(4, title="Cover crops", doi="10.1038/s41586-026-00001-1")
    assert [record.title for record in found(run())] == ["Cover crops"]


ITALIC, LOST = "<jats:italic>{}</jats:italic>", "The<jats:italic>Triticum</jats:italic>grains: "
MARKUP = [
    ("km<jats:sup>2</jats:sup> of CO<jats:sub>2</jats:sub>.", "km2 of CO2."),
    (
        "10\n\t<jats:sup>−3</jats:sup>\n\tkg (\n\t<jats:italic>P</jats:italic>\n\t= 1)",
        "10−3 kg (P = 1)",
    ),
    ("with\n<jats:sup>89</jats:sup>Zr", "with 89Zr"),
    ("<jats:italic>N</jats:italic>H and the <jats:italic>n</jats:italic>th", "NH and the nth"),
    ("a <b>Gen</b>erator of <jats:italic>iso</jats:italic>propyl", "a Generator of isopropyl"),
    (f"{LOST}a{ITALIC.format('cis')}isomer", "The Triticum grains: a cis isomer"),
    (
        "the\n <jats:italic>p</jats:italic>\n -value of\n <i>T. b</i>\n , too",
        "the p-value of T. b, too",
    ),
    (
        "if<mml:math><mml:mi>x</mml:mi>\n<mml:mo>=</mml:mo>\n<mml:mn>2</mml:mn></mml:math>or",
        "if x=2 or",
    ),
    ("<jats:p>One.</jats:p><jats:p>Two.</jats:p>", "One. Two."),
]


@pytest.mark.parametrize(("markup", "text"), MARKUP)
def test_tags_separate_words_by_their_context(markup, text):
    assert " ".join(publishers.without_tags(markup).split()) == text


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
