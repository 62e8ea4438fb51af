"""Papers as BibTeX and RIS: read by parsers of others, whatever papers say of themselves."""

import re
from datetime import date

import rispy
from pybtex.database import parse_string

from digest.models import Paper
from digest.papers import citations
from tests.helpers.data_files import DATA, cases

CASES = cases("citations")

DAY = date(2026, 6, 1)


def paper(title="Graphs of roads", identity="2606.00001", **fields):
    """Make a paper that no database knows."""
    fields = {"day": DAY, "authors": ["Ada Lovelace"], "categories": ["cs.LG"]} | fields
    return Paper(id=identity, title=title, **fields)


def entries(*papers):
    """Return the entries of the papers' BibTeX, by their keys, as a strict parser reads them."""
    return dict(parse_string(citations.bibtex(papers), "bibtex").entries)


def entry(*papers):
    (only_entry,) = entries(*papers).values()
    return only_entry


def records(*papers):
    return rispy.loads(citations.ris(papers))


def unescaped(latex):
    """Return what LaTeX prints for one of our fields."""
    for sign, command in citations.ESCAPES.items():
        if command.endswith("{}"):
            latex = latex.replace(command, f"\x01{sign}\x02")
    for sign, command in citations.ESCAPES.items():
        if not command.endswith("{}"):
            latex = latex.replace(command, chr(sign))
    return re.sub("\x01(\\d+)\x02", lambda found: chr(int(found[1])), latex)


# ---- BibTeX


def test_arxiv_paper_is_misc_with_eprint():
    assert citations.bibtex([paper("Graphs of BERT", authors=["Ada Lovelace", "Jan de Wit"])]) == (
        (DATA / "paper.bib").read_text()
    )


def test_journal_paper_is_article_with_withdrawal_note():
    one = paper(journal_ref="Phys. Rev. D 76", doi="10.1103/x", is_withdrawn=True)
    (record,), bibtex = records(one), entry(one)
    assert (bibtex.type, bibtex.fields["journal"]) == ("article", "Phys. Rev. D 76")
    assert (record["type_of_reference"], record["secondary_title"]) == ("JOUR", "Phys. Rev. D 76")
    assert bibtex.fields["doi"] == record["doi"] == "10.1103/x"
    assert [bibtex.fields["note"]] == record["notes"] == ["Withdrawn by its authors"]


def test_other_paper_has_no_eprint_or_estimated_year():
    bibtex = entry(paper(identity="title:1f", url="https://example.org/x", day_is_estimate=True))
    assert (bibtex.type, list(bibtex.fields)) == ("misc", ["title", "url"])
    assert entry(paper(identity="title:1f")).fields["year"] == "2026"


def test_preprint_names_server_until_published():
    fields = {"identity": "biorxiv:10.1101/2026.06.01.1", "categories": ["cell biology"]}
    fields |= {"doi": "10.1101/2026.06.01.1", "url": "https://doi.org/10.1101/2026.06.01.1"}
    bibtex, (record,) = entry(paper(**fields)), records(paper(**fields))
    assert (bibtex.type, bibtex.fields["publisher"]) == ("misc", "bioRxiv")
    assert bibtex.fields["doi"] == record["doi"] == "10.1101/2026.06.01.1"
    assert (record["publisher"], record["keywords"]) == ("bioRxiv", ["cell biology"])
    published = paper(**fields, journal_ref="Journal of Bread")
    assert entry(published).type == "article"
    assert "publisher" not in entry(published).fields
    assert "publisher" not in records(published)[0]


def test_arxiv_year_comes_from_its_id():
    """Not of the day on which it was first seen here, or on which a sample was laid."""
    for identity, year in (("1706.03762", "2017"), ("math/9912001", "1999")):
        for is_estimate in (True, False):
            one = paper(identity=identity, day_is_estimate=is_estimate)
            assert entry(one).fields["year"] == records(one)[0]["year"] == year


def test_hostile_text_is_escaped_without_loss():
    for text in CASES["hostile"]:
        hostile = paper(text, authors=[text, "Ada Lovelace"], journal_ref=text, url=text, doi=text)
        hostile.abstract = text
        three = [paper("Before"), hostile, paper("After")]
        found, said = entries(*three), citations.one_line(text)
        assert len(found) == 3
        middle = list(found.values())[1]
        assert unescaped(middle.fields["title"]) == f"{{{said}}}"
        assert unescaped(middle.fields["journal"]) == said
        first, second = middle.persons["author"]
        assert [unescaped(name) for name in first.last_names] == [f"{{{said}}}"]
        assert second.last_names == ["Lovelace"]
        assert set(middle.fields) <= {
            *("title", "journal", "year", "eprint", "archiveprefix", "primaryclass", "doi", "url")
        }
        written = citations.ris(three)
        for line in written.removesuffix("\r\n").split("\r\n"):
            assert re.fullmatch(r"([A-Z][A-Z0-9]  - .*)?", line)
            assert line.isprintable()
        found = rispy.loads(written)
        assert len(found) == 3
        assert (found[1]["title"], found[1]["authors"][0]) == (said, said)


def test_certain_names_are_split():
    for name in CASES["split_names"]:
        given, particles, family = name.split("|")
        author = " ".join(name.replace("|", " ").split())
        (person,) = entry(paper(authors=[author])).persons["author"]
        assert person.first_names + person.middle_names == given.split()
        assert (person.prelast_names, person.last_names) == (particles.split(), [family])


def test_uncertain_names_stay_whole():
    names = CASES["whole_names"]
    *people, last = entry(paper(authors=[*names, "Ada Lovelace"])).persons["author"]
    assert not any(person.first_names + person.prelast_names for person in people)
    assert [person.last_names for person in people] == [[f"{{{name}}}"] for name in names]
    assert last.last_names == ["Lovelace"]


def test_a_paper_without_authors_has_none():
    assert citations.bibtex([]) == citations.ris([]) == ""
    assert "author" not in citations.bibtex([paper(authors=[])])
    assert "AU" not in citations.ris([paper(authors=["\x00", ""])])


def test_key_is_surname_year_and_first_word():
    for author, title, key in [
        *CASES["keys"],
        ("Ada Lovelace", "x" * 1000, f"lovelace2026{'x' * 48}"),
    ]:
        assert list(entries(paper(title, authors=[author] if author else []))) == [key]


def test_keys_are_unique_and_stable():
    alike = [paper(identity=f"2606.0000{number}") for number in range(3)]
    keys = [*["lovelace2026graphs", "lovelace2026graphs-260600001", "lovelace2026graphs-260600002"]]
    for count in range(4):
        assert list(entries(*alike[:count])) == keys[:count]
    odd = [paper(identity=one, day_is_estimate=True) for one in ("x:a", "x:b.c", "x:bc", "x:b-c")]
    assert len(entries(*odd)) == 4


def test_only_valid_doi_is_exported():
    for url, doi in CASES["dois"]:
        assert entry(paper(doi=url)).fields.get("doi") == doi
        assert records(paper(doi=url))[0].get("doi") == doi


def test_url_is_percent_encoded_where_needed():
    one = paper(url="https://example.org/a_b~c?d=%20{e}&f=ü#g")
    assert entry(one).fields["url"] == "https://example.org/a_b~c?d=%20%7Be%7D&f=%C3%BC#g"


# ---- RIS


def test_preprint_is_an_unpublished_ris_record():
    one = paper(abstract="On roads.", authors=["Ada Lovelace", "ATLAS Collaboration"])
    sample = citations.ris([paper(is_sample=True, abstract="A summary.")])
    assert not {"DA", "AB"} & {line[:2] for line in sample.splitlines()}  # They are not its own.
    assert citations.ris([one]) == ((DATA / "paper.ris").read_text().replace("\n", "\r\n"))
