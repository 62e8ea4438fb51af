"""All papers as arrays: written once, and searched as the ranking ranks."""

import random
import tracemalloc
from datetime import date

import numpy as np
import pytest

from digest import arrays
from digest.ranking import archiving, searching, text
from digest.ranking import corpus as corpora
from digest.ranking.archive import Archive
from digest.ranking.archiving import Facts, Texts, arrays_of
from digest.ranking.choice import matches
from digest.ranking.corpus import Corpus
from digest.ranking.edition import Edition
from digest.ranking.model import ABSENT, TfidfModel
from digest.ranking.part import Part
from digest.ranking.profile import Interest
from digest.ranking.query import queries
from digest.ranking.searching import by_author, search, similar
from digest.ranking.tuning import Tuning

TUNING = Tuning()
WORDS = """
graph neural network molecule protein diffusion model agent planning language reward policy vision
segmentation retrieval augmented generation pre-training k-means clustering attention transformer
token robot grasp quantum error correction code tumour detection speech federated privacy kernel
""".split()  # noqa: SIM905
LINES = [
    ("Graph neural networks for molecules", "They predict what molecules do.", ["Ada Byron"]),
    (
        "Diffusion of proteins",
        "Large language models (LLMs) are not in it.",
        ["Eve Wang", "Wei Li"],
    ),
    ("LLM agents that plan", "Agents plan with tools.", ["Wei Wang", "Ada M. Byron"]),
    ("Networks of graph and neural matter", "Graph theory, not networks.", ["Émilie du Châtelet"]),
    ('$k$-means in Schr\\"odinger space', "Pre-training helps k-means clustering.", []),
]


def text_of(paper):
    return f"{paper.title}\n{paper.title}\n{paper.abstract}"


def some_papers(count=120):
    """Return papers of chance words, the last ones of LINES."""
    chance = random.Random(0)
    made = []
    for n in range(count):
        title = " ".join(chance.choices(WORDS, k=5))
        abstract = ". ".join(" ".join(chance.choices(WORDS, k=9)) for _ in range(3))
        made.append(Texts(f"2606.{n:05}", title, f"{abstract} by large language models (LLMs)."))
    return [*made, *(Texts(f"2607.{n:05}", *line) for n, line in enumerate(LINES))]


def facts_of(papers):
    first = date(2026, 5, 1).toordinal()
    return [
        Facts(paper.id, first + n // 9, n % 7, "cs", ("cs.LG", "stat.ML")[: n % 3])
        for n, paper in enumerate(papers)
    ]


def archive_of(papers, model=None, before=None, changed=frozenset()):
    by_id = {paper.id: paper for paper in papers}
    model = model or TfidfModel().fit(map(text_of, papers))
    asked = []

    def read(ids):
        asked.extend(ids)
        return [by_id[one] for one in ids]

    def texts_of(ids):
        return [text_of(by_id[one]) for one in ids]

    arrays = arrays_of(model, facts_of(papers), read, before, changed)
    made = Archive(model, arrays, texts_of)
    made.asked = asked
    return made


def titles(archive, papers, positions):
    by_id = {paper.id: paper.title for paper in papers}
    return [by_id[one] for one in archive.ids_at(positions)]


def test_the_archive_says_of_papers_what_the_model_reads_in_them():
    papers = some_papers()
    archive = archive_of(papers)
    everything = np.arange(len(archive))
    read = archive.model.transform(map(text_of, papers))
    assert archive.ids_at(everything) == [paper.id for paper in papers]
    assert abs(archive.vectors(everything)[:, : archive.n_terms] - read).max() < 1e-6
    edition = Edition.of(archive.model, archive.ids_at(everything), list(map(text_of, papers)))
    assert [archive.line_of(n) for n in everything] == [edition.in_a_row(n) for n in everything]


def test_an_edition_of_the_archive_chooses_as_one_of_the_texts():
    papers = some_papers()
    archive = archive_of(papers)
    first, last = int(archive.days[40]), int(archive.days[-1])
    here = archive.of_days(first, last)
    some, facts = papers[here], facts_of(papers)[here]
    of_texts = Edition.of(
        archive.model,
        [paper.id for paper in some],
        list(map(text_of, some)),
        ages=[last - fact.day for fact in facts],
        upvotes=[fact.upvotes for fact in facts],
        fields=[fact.field for fact in facts],
        categories=[fact.categories for fact in facts],
    )
    edition = archive.edition(first, last, last)
    assert edition.twins is not None
    for query in (
        "graph neural networks",
        '"retrieval augmented"',
        '"networks of graph"',
        "LLM agents, k-means",
        "",
    ):
        interest = Interest("Mine", query, categories=() if query else ("cs.LG",))
        chosen = {one.paper: one for one in matches(archive.model, edition, interest, 20)}
        of_text = {one.paper: one for one in matches(archive.model, of_texts, interest, 20)}
        assert chosen.keys() == of_text.keys()
        assert chosen
        for paper, one in chosen.items():
            assert one.terms == of_text[paper].terms
            assert set(one.relatives) == set(of_text[paper].relatives)
            # Where papers lie in the latent space is stored in half precision.
            assert one.score == pytest.approx(of_text[paper].score, abs=2e-3)


def days_of_an_edition():
    """Yield where a part of 20 papers starts, the part, and an edition that shares nothing."""
    papers = some_papers(60)
    whole, alone = (archive_of(papers).edition(0, 10**6, 10**6) for _ in range(2))
    for start in (0, 10, 40):
        yield start, Part.between(whole, start, start + 20, 0), alone


def test_days_of_an_edition_share_what_their_papers_say_and_quote():
    some = np.arange(20)
    quotes = queries('"graph", "diffused", "augmented retrieval", "molecular graphs"')
    for start, part, alone in days_of_an_edition():
        for phrases in ([("graph", "neural")], [("larg", "languag"), ("model",)], [("zebra",)]):
            said = alone.says(phrases, some + start)[start : start + 20]
            assert part.says(phrases, some).tolist() == said.tolist()
            few = part.says(phrases, some[::3])
            assert few[::3].tolist() == said[::3].tolist()
            assert few.sum() == said[::3].sum()
        for query in quotes:
            quoted = alone.says_as_written(query, some + start)[start : start + 20]
            assert part.says_as_written(query, some).tolist() == quoted.tolist()
            assert part.says_as_written(query, some[::3])[::3].tolist() == quoted[::3].tolist()


def test_a_search_finds_what_is_quoted_as_it_is_written():
    papers = [
        *some_papers(),
        Texts("2607.1", "Conformal prediction", ""),
        Texts("2607.2", "Conformation prediction", ""),
        Texts("2607.3", "The predictions of a conformal thing", ""),
    ]
    archive = archive_of(papers)
    for asked, found in (
        ('"conformal predictions"', ["Conformal prediction"]),
        ('"conformation" prediction', ["Conformation prediction"]),
        ('"conformations predict"', []),
    ):
        assert titles(archive, papers, search(archive, asked, TUNING).papers) == found
        assert titles(archive, papers, search(archive, asked, TUNING, newest=True).papers) == found


def test_what_was_read_is_not_read_again_for_another_model():
    papers = some_papers()
    before = archive_of(papers[:100])
    assert len(before.asked) == 100
    model = TfidfModel().fit(map(text_of, papers[20:]))
    now = archive_of(papers[5:], model, before, frozenset({papers[7].id}))
    assert sorted(now.asked) == sorted([papers[7].id, *(paper.id for paper in papers[100:])])
    anew = archive_of(papers[5:], model)
    for name, array in anew.arrays.items():
        assert np.array_equal(array, now.arrays[name]), name


def test_an_archive_takes_less_than_three_times_its_own_memory_to_make(monkeypatch):
    monkeypatch.setattr(archiving, "BLOCK", 250)
    papers = some_papers(5_000)
    model, facts = TfidfModel(n_components=32).fit(map(text_of, papers)), facts_of(papers)
    tracemalloc.start()
    made = arrays_of(model, facts, lambda ids: papers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.5 * sum(array.nbytes for array in made.values())


def test_what_the_corpus_has_read_is_not_read_again(monkeypatch):
    monkeypatch.setattr(corpora, "BLOCK", 50)
    papers = some_papers()
    corpus = Corpus()
    for paper in papers[:-2]:
        corpus.add(paper.title, paper.abstract)
    changed = Texts(papers[0].id, papers[0].title, "Of xylophones.")
    papers = [changed, *papers[1:]]
    model, facts = TfidfModel().fit(map(text_of, papers)), facts_of(papers)
    plainly = arrays_of(model, facts, lambda ids: papers)
    read = []
    reading = text.reading
    monkeypatch.setattr(text, "reading", lambda line: read.append(line) or reading(line))
    made = arrays_of(model, facts, lambda ids: papers, corpus=corpus)
    titles = {paper.title for paper in papers}
    assert [line for line in read if line in titles] == [
        paper.title for paper in (changed, *papers[-2:])
    ]
    assert {name: array.tolist() for name, array in made.items()} == {
        name: array.tolist() for name, array in plainly.items()
    }


def test_a_paper_is_found_by_words_that_the_model_does_not_know():
    papers = some_papers()
    model = TfidfModel().fit(map(text_of, papers[:100]))
    papers = [*papers[:100], Texts("2608.00001", "Xylophones", "Of wood, and of no graph.")]
    archive = archive_of(papers, model)
    assert titles(archive, papers, search(archive, "xylophone", TUNING).papers) == ["Xylophones"]
    assert titles(archive, papers, search(archive, "wood xylophones", TUNING).papers)
    assert not len(search(archive, "zebra", TUNING))
    assert not len(search(archive, "xylophone zebra", TUNING))


def test_a_search_for_an_acronym_finds_what_it_stands_for():
    papers = [*some_papers(), Texts("2608.1", "A large language model", "")]
    archive = archive_of(papers)
    found = titles(archive, papers, search(archive, "LLMs", TUNING, newest=True).papers)
    assert found[:2] == ["A large language model", LINES[2][0]]


@pytest.fixture(scope="module")
def papers():
    return some_papers()


@pytest.fixture(scope="module")
def archive(papers):
    return archive_of(papers)


@pytest.mark.parametrize(
    ("asked", "found", "not_found"),
    [
        ("graph neural networks", {LINES[0][0], LINES[3][0]}, {LINES[1][0]}),
        ('"graph neural network"', {LINES[0][0]}, {LINES[3][0]}),
        ('"large language model agents"', {LINES[2][0]}, {LINES[1][0]}),  # Says LLM agents.
        ("large language models", {LINES[1][0], LINES[2][0]}, {LINES[0][0]}),
        ("PRE training, Schrodinger", {LINES[4][0]}, {LINES[0][0]}),
        ("k-means", {LINES[4][0]}, {LINES[2][0]}),
        ("what do molecules predict with graph networks", {LINES[0][0]}, {LINES[2][0]}),
    ],
)
def test_a_search_means_what_a_topic_means(archive, papers, asked, found, not_found):
    titles_found = set(titles(archive, papers, search(archive, asked, TUNING).papers))
    assert found <= titles_found
    assert not not_found & titles_found


@pytest.mark.parametrize("asked", ["graph", "neural graph", "graph network molecule", "xyz graph"])
def test_a_short_search_finds_what_has_all_of_its_words(archive, papers, asked):
    terms = set(text.terms(asked))
    having = {paper.title for paper in papers if terms <= set(text.terms(text_of(paper)))}
    found = search(archive, asked, TUNING)
    assert set(titles(archive, papers, found.papers)) == having
    assert found.count == len(having)


def test_the_best_comes_first_or_else_the_newest(archive, papers):
    best = search(archive, "graph neural networks for molecules", TUNING)
    assert titles(archive, papers, best.papers[:1]) == [LINES[0][0]]
    assert (np.diff(best.scores[1:]) <= 0).all()
    newest = search(archive, "graph neural networks", TUNING, newest=True)
    assert (np.diff(newest.papers) < 0).all()


def test_of_a_sentence_as_many_papers_are_counted_as_are_about_it(archive, monkeypatch):
    asked = "which graph networks of models predict language in training with molecules"
    everything = search(archive, asked, TUNING)
    assert 5 < everything.count == len(everything) < len(archive)
    monkeypatch.setattr(searching, "RANKED", 5)
    best, newest = (search(archive, asked, TUNING, newest=newest) for newest in (False, True))
    assert best.count == newest.count == len(everything)


def test_a_search_of_very_many_words_is_answered(archive):
    assert len(search(archive, ", ".join(WORDS * 40), TUNING))


@pytest.mark.parametrize("asked", ["", "the of and", '""', '"', ",,;", "\0", "🦆", "x" * 9999, "-"])
def test_a_search_for_nothing_finds_nothing(archive, asked):
    assert not len(search(archive, asked, TUNING))


@pytest.mark.parametrize(
    ("asked", "whole", "part"),
    [
        ("Ada Byron", [2, 0], []),  # The newer first; what is one letter is no word.
        ("wang", [], [2, 1]),
        ("Wei Wang", [2], []),  # Not by Eve Wang and Wei Li.
        ("emilie du chatelet", [3], []),
        ("Nobody", [], []),
        ("graph", [], []),
        ("", [], []),
        ("a b c d e f", [], []),
    ],
)
def test_papers_are_found_by_their_authors(archive, papers, asked, whole, part):
    for found, wanted in zip(by_author(archive, asked), (whole, part), strict=True):
        assert titles(archive, papers, found) == [LINES[n][0] for n in wanted]


def test_papers_like_a_paper_are_about_the_same(archive, papers):
    place = archive.place_of("2607.00000")
    hits = similar(archive, place, 5, TUNING)
    assert place not in hits.papers
    assert len(hits) == 5
    about = [titles(archive, papers, [one])[0] + papers[one].abstract for one in hits.papers]
    assert all("molecule" in said or "graph" in said for said in about)


def test_a_paper_is_where_its_id_says(archive, papers):
    assert [archive.place_of(paper.id) for paper in papers] == list(range(len(papers)))
    for nobody in ("2606.99999", "", "é", "2606.0000"):
        assert archive.place_of(nobody) == ABSENT


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_archive_of_few_papers_is_one(count):
    papers = some_papers()[:count]
    archive = archive_of(papers)
    assert len(archive) == count
    assert len(search(archive, "graph", TUNING)) <= count
    assert by_author(archive, "Ada Byron")[0].size == 0
    assert len(archive.edition(0, 10**6, 10**6)) == count
    for n in range(count):
        assert len(similar(archive, n, 5, TUNING)) < count


# ---- The file


def test_arrays_come_back_as_they_were(tmp_path, archive):
    with open(tmp_path / "some.arrays", "wb") as file:
        arrays.write(archive.arrays, file)
    content = (tmp_path / "some.arrays").read_bytes()
    read = arrays.read(content)
    assert read.keys() == archive.arrays.keys()
    for name, array in archive.arrays.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)
        assert not read[name].flags.writeable


def _with_head(told):
    head = told.encode()
    return arrays.BEGINNING + len(head).to_bytes(8, "little") + head + bytes(256)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4",
        arrays.BEGINNING,
        arrays.BEGINNING + b"\xff" * 8,
        _with_head("[]"),
        _with_head("[" * 5000),
        _with_head('{"a": 1}'),
        _with_head('{"a": ["|O", [1], 0]}'),
        _with_head('{"a": ["|V8", [1], 0]}'),
        _with_head('{"a": ["<f8", [-1], 0]}'),
        _with_head('{"a": ["<f8", ["1"], 0]}'),
        _with_head('{"a": ["<f8", [1], -8]}'),
        _with_head('{"a": ["<f8", [99999999999999999999], 0]}'),
        _with_head('{"a": ["<f8", [1], 9999]}'),
        _with_head('{"a": [["<f8"], [1], 0]}'),
    ],
)
def test_what_is_no_file_of_arrays_is_refused(content):
    with pytest.raises(ValueError):  # noqa: PT011, each says something else
        arrays.read(content)


@pytest.mark.parametrize("name", ["days", "tokens", "term_ends", "latent", "lengths", "by_id"])
def test_arrays_that_do_not_fit_each_other_are_refused(archive, name):
    for broken in (archive.arrays[name][:-1], np.zeros((2, 2, 2)), None):
        with pytest.raises(ValueError):  # noqa: PT011, each says something else
            Archive(archive.model, {**archive.arrays, name: broken})


def test_an_archive_of_another_model_is_refused(archive):
    with pytest.raises(ValueError, match="its model"):
        Archive(TfidfModel().fit(["another one"]), archive.arrays)
