"""All papers as rows of counts, and as a file of arrays: written once, and searched."""

import io

import numpy as np
import pytest

from digest.indexing import array_file
from digest.indexing.index import FORMAT, Index, arrays_of
from digest.ranking import text
from digest.ranking.model import WIDTH
from tests.helpers.data_files import cases

CASES = cases("index_searches")
#: By id: the day, the text and the authors.
PAPERS = CASES["papers"]


def arrays(papers=PAPERS, before=None, changed=frozenset()):
    """Return the arrays, and the ids of the papers that were read."""
    read = []

    def entries(ids):
        for one in ids:
            read.append(one)
            yield one, *papers[one][1:]

    made = arrays_of({one: paper[0] for one, paper in papers.items()}, entries, before, changed)
    return made, read


@pytest.fixture
def index():
    return Index(arrays()[0])


def test_incremental_index_equals_full_index():
    before = Index(arrays({one: PAPERS[one] for one in "bcd"})[0])
    papers = PAPERS | {"c": (1, "Molecules\nAnother abstract.", ["Ada Byron"])}
    del papers["d"]
    made, read = arrays(papers, before, {"c"})
    assert read == ["c", "a"]
    anew, _ = arrays(papers)
    assert made.keys() == anew.keys()
    for name, array in anew.items():
        assert np.array_equal(made[name], array), name


def test_deleted_paper_is_omitted():
    made = arrays_of({"a": 1, "b": 2}, lambda ids: [("b", "Graphs", [])])
    assert Index(made).ids_at(slice(None)) == ["b"]


@pytest.mark.parametrize(("query", "expected"), CASES["searches"])
def test_search_requires_all_words(index, query, expected):
    papers, scores = index.matching(text.terms(query), all_of_them=True)
    assert index.ids_at(papers) == [*expected]
    assert ((scores > 0) & (scores < 1.5)).all()


def test_long_query_needs_only_enough_words(index):
    terms = text.terms("graph networks that predict the molecules of zebras")
    papers, scores = index.matching(terms, all_of_them=False)
    assert index.ids_at(papers) == ["c"]
    papers, scores = index.matching(["molecul", "graph"], all_of_them=False)
    assert index.ids_at(papers[np.argsort(-scores)])[0] == "c"


@pytest.mark.parametrize(("name", "or_initials", "expected"), CASES["names"])
def test_papers_are_found_by_author_names(index, name, or_initials, expected):
    assert index.ids_at(index.named(name, or_initials=or_initials)) == [*expected]


def test_a_paper_is_found_by_its_whole_title(index):
    assert index.ids_at(index.titled("graph theories")) == ["b"]
    assert [len(index.titled(one)) for one in ("Theory graph", "Graph", "")] == [0, 0, 0]


def test_known_words_and_names_are_reported(index):
    assert index.has_words(["graph", "zebra", "wang"]).tolist() == [True, False, False]
    names = ["Wang", "E.", "Wei-Noether", "graph", "Wei-Graph"]
    assert [index.has_name(one) for one in names] == [True, True, True, False, False]


def test_similar_papers_share_rare_words(index):
    assert index.ids_at(index.similar(index.place_of("c"), 1)) == ["b"]
    assert index.place_of("c") not in index.similar(index.place_of("c"), 9)


def test_empty_index_can_be_searched():
    index = Index(arrays({})[0])
    assert index.counts_of(["a"])[0].shape == (1, WIDTH)
    assert len(index.matching(["graph"], all_of_them=True)[0]) == 0
    assert arrays(PAPERS, index)[1] == ["d", "a", "b", "c"]


# ---- The file


def content_of(some):
    file = io.BytesIO()
    array_file.write(some, file)
    return file.getvalue()


def test_arrays_are_restored_read_only():
    some = arrays()[0] | {"none": np.zeros((0, 3), np.float32)}
    read = array_file.read(content_of(some))
    assert read.keys() == some.keys()
    for name, array in some.items():
        assert (read[name].dtype, read[name].flags.writeable) == (array.dtype, False)
        assert np.array_equal(read[name], array)


def test_invalid_array_file_is_refused():
    whole = content_of(arrays()[0])
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object))
    for content in (b"", b"PK\3\4", whole[:80], whole[:200], whole[: len(whole) // 2 // 64 * 64]):
        with pytest.raises(ValueError):  # noqa: PT011, each says something else
            array_file.read(content)
    with pytest.raises(ValueError, match="OBJECT"):
        array_file.read(objects.getvalue())


@pytest.mark.parametrize("change", [{"format": np.array([1])}, {"format": np.array(FORMAT)}, None])
def test_arrays_of_another_format_are_refused(change):
    made = arrays()[0] | (change or {})
    if change is None:  # As the version before wrote them, and others after it.
        del made["words_ends"]
    with pytest.raises(ValueError, match=r"format|words_ends"):
        Index(made)
