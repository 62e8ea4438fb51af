"""The model: fitted as scikit-learn's are, stored without objects, refused where it is damaged."""

import io
import time
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer

from digest.ranking import text
from digest.ranking.acronyms import long_form
from digest.ranking.model import TfidfModel
from tests import corpora
from tests.corpora import DEFINING, TITLES, edition_of, follow


def column(model, term):
    (found,) = model.columns([term])
    return found


# ---- scikit-learn's conventions


def test_a_clone_has_the_parameters_and_learns_the_same():
    model = TfidfModel(idf_power=2, n_components=12, max_terms=900, max_sample=100, random_state=3)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "terms_")
    ours, theirs = model.fit(corpora.library()), twin.fit(corpora.library())
    assert (ours, theirs) == (model, twin)
    read = [one.transform(TITLES + corpora.library()[:9]) for one in (model, twin)]
    assert np.array_equal(read[0].toarray(), read[1].toarray())
    assert np.array_equal(model.components_, twin.components_)
    assert model.components_.shape[1] == 12


def test_a_parameter_that_there_is_not_is_refused():
    model = TfidfModel().set_params(idf_power=3.0)
    assert model.idf_power == 3.0
    with pytest.raises(ValueError, match="fit_intercept"):
        model.set_params(fit_intercept=True)


# ---- What it learns


def test_plain_words_weigh_what_scikit_learn_says():
    documents = corpora.library()
    reference = TfidfVectorizer(sublinear_tf=True, analyzer=text.terms).fit(documents)
    model = TfidfModel(idf_power=1).fit(documents)
    assert model.terms_.tolist() == reference.get_feature_names_out().tolist()
    expected = reference.transform(documents + TITLES).toarray()
    assert model.transform(documents + TITLES).toarray() == pytest.approx(expected, abs=1e-6)


def test_a_power_of_idf_lets_a_rare_word_tell_more():
    documents = ["bread oven", "bread flour", "bread crust"]
    shares = []
    for power in (1, 1.5, 2):
        model = TfidfModel(idf_power=power).fit(documents)
        row = model.transform(["bread oven"]).toarray()[0]
        shares.append(row[column(model, "oven")] / row[column(model, "bread")])
    assert shares == pytest.approx([shares[0], shares[0] ** 1.5, shares[0] ** 2])
    assert shares[0] > 1


def test_words_that_keep_the_same_company_are_near_in_the_latent_space():
    model = corpora.model()
    bread, flour, galaxy = corpora.model().latent(model.transform(["bread", "flour", "galaxy"]))
    assert bread @ flour > 5 * abs(bread @ galaxy)
    assert model.components_.shape[1] == len(model.explained_) == len(corpora.library()) // 7


@pytest.mark.parametrize("times", [1, 12], ids=["more words", "more papers"])
def test_the_latent_directions_are_those_of_the_whole_decomposition(times):
    documents = corpora.library() * times
    model = TfidfModel().fit(documents)
    vectors = model.transform(documents)[:, model.latent_terms_].toarray()
    assert (vectors.shape[0] > vectors.shape[1]) == (times > 1)
    once = vectors[: len(corpora.library())]  # Those of all have the same directions.
    _, values, directions = np.linalg.svd(once, full_matrices=False)
    n = 5  # The first ones: the last of them lie close to each other.
    assert model.explained_[:n] == pytest.approx(values[:n] ** 2 / len(once), rel=0.01)
    alike = (directions[:n] * model.components_.T[:n]).sum(axis=1)
    assert np.abs(alike) == pytest.approx(1, abs=0.01)


def test_fitting_again_learns_the_same_to_the_last_bit():
    again = TfidfModel().fit(corpora.library()).to_arrays()
    assert {name: array.tobytes() for name, array in again.items()} == {
        name: array.tobytes() for name, array in corpora.model().to_arrays().items()
    }


def test_of_too_many_terms_the_most_frequent_are_kept():
    documents = ["bread oven yeast", "bread oven", "bread flour"]
    model = TfidfModel(max_terms=2).fit(documents)
    assert model.terms_.tolist() == ["bread", "oven"]
    assert model.words_.tolist() == ["bread", "oven"]
    whole = TfidfModel().fit(documents)
    assert model.idf_ == pytest.approx(whole.idf_[whole.columns(["bread", "oven"])])
    assert model.transform(["flour", "oven"]).toarray().tolist() == [[0, 0], [0, 1]]


def test_the_latent_part_is_learned_of_a_sample_and_the_words_of_all():
    model = TfidfModel(max_sample=80).fit(corpora.library())
    assert np.array_equal(model.idf_, corpora.model().idf_)
    assert model.components_.shape[1] == 80 // 7


@pytest.mark.parametrize(
    ("said", "term", "word"),
    [
        (["networks", "networks", "network"], "network", "networks"),
        (["A GNN", "GNN", "gnn"], "gnn", "GNN"),
        (["DNA", "dna", "dna"], "dna", "dna"),
        (["It IS", "bread IS good"], "bread", "bread"),
        (["an LLM", "LLMs", "the LLM"], "llm", "LLM"),
        (["tumour", "tumour", "tumor"], "tumor", "tumour"),
        (["LLMs", "LLMs", "an LLM"], "llm", "LLMs"),
        (["GPT4", "GPT4", "GPT-3"], "gpt", "GPT"),
        (["GPT4", "GPT4", "GPT-3"], "gpt4", "GPT4"),
        (["GPT-4", "GPT-4", "GPT-3"], "gpt", "GPT"),
        (["COVID-19"], "covid", "COVID"),
    ],
)
def test_a_term_is_named_by_the_word_that_people_write_most(said, term, word):
    model = TfidfModel().fit(said)
    assert model.words_[column(model, term)] == word


# ---- Acronyms


def test_an_acronym_brings_along_what_papers_say_that_it_stands_for():
    model = TfidfModel().fit([*DEFINING, "LLMs bake", "rice"])
    assert model.acronyms_ == {"llm": ("larg", "languag", "model")}
    assert model.read("Our LLM bakes, as LLMs do") == [
        *("llm", "larg", "languag", "model", "bake", "llm")
    ]
    assert corpora.papers_of(
        follow("large language models"), ["LLMs bake", "rice"], model=model
    ) == [0]
    again = TfidfModel.from_arrays(stored(model))
    assert again.acronyms_ == model.acronyms_


@pytest.mark.parametrize(
    "papers",
    [
        DEFINING[:4],  # Defined too seldom.
        DEFINING + ["Local lattice motion (LLM)"] * 2,  # And in two ways.
        [paper.replace("LLMs", "L") for paper in DEFINING],
        [paper.replace("LLMs", "QRX") for paper in DEFINING],  # Not what the words begin with.
        [paper.replace("LLMs", "LANGUAGE") for paper in DEFINING],
        [*DEFINING, *["the llm", "an llm"] * 9],  # Mostly written as a word.
    ],
)
def test_what_is_not_clearly_an_acronym_stands_for_itself(papers):
    assert TfidfModel().fit(papers).acronyms_ == {}


@pytest.mark.parametrize(
    ("acronym", "before", "long"),
    [
        ("LSTM", "a long short-term memory", "long short-term memory"),
        ("DNA", "of deoxyribonucleic acid", "deoxyribonucleic acid"),
        ("TM", "of topic attentive models", "topic attentive models"),
        ("SSL", "such self-supervised learning", "self-supervised learning"),
        ("SL", "such self-supervised learning", "self-supervised learning"),
        ("RAG", "the bag", ""),
        ("AB", "", ""),
    ],
)
def test_the_long_form_begins_with_the_first_letter_and_has_the_others(acronym, before, long):
    assert long_form(acronym, before) == long


def test_a_hostile_parenthesis_takes_no_longer_than_its_length():
    started = time.thread_time()
    TfidfModel().fit([f"({'A' * 8_000}"])
    assert time.thread_time() - started < 1


# ---- Small and strange corpora


@pytest.mark.parametrize(
    ("documents", "n_terms"),
    [
        ([], 0),
        ([""], 0),
        (["", "", ""], 0),
        (["the of and"] * 30, 0),
        (["bread oven"], 2),
        (["bread oven"] * 200, 2),
        ([corpora.words(0, 40)] * 200, 40),
        ([corpora.word(n) for n in range(200)], 200),
        (corpora.library()[:10], None),
    ],
)
def test_a_strange_corpus_makes_a_model_that_reads_and_ranks(documents, n_terms):
    model = TfidfModel().fit(documents)
    assert n_terms in (None, len(model.terms_))
    again = TfidfModel.from_arrays(model.to_arrays())
    asked = documents[0] if documents else "bread"
    for one in (model, again):
        vectors = one.transform([asked, "qqq", ""])
        assert vectors.shape == (3, len(model.terms_))
        assert np.isfinite(one.latent(vectors)).all()
        assert one.latent(vectors).shape == (3, len(model.explained_))
    chosen = corpora.papers_of(follow(asked, size=5), documents, model=model)
    assert bool(chosen) == (len(model.terms_) > 0)


# ---- Stored and loaded


def stored(model):
    """Return the arrays of a model as they come back from a file that allows no pickle."""
    file = io.BytesIO()
    np.savez_compressed(file, **model.to_arrays())
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("idf_power", [1, 1.5, 2.0])
def test_a_stored_model_reads_exactly_as_the_fitted_one(idf_power):
    model = TfidfModel(idf_power=idf_power).fit(corpora.library())
    again = TfidfModel.from_arrays(stored(model))
    ours, theirs = model.transform(corpora.library()), again.transform(corpora.library())
    assert np.array_equal(ours.toarray(), theirs.toarray())
    assert np.array_equal(model.latent(ours), again.latent(theirs))
    assert model.latent(ours).any()
    assert np.array_equal(model.words_, again.words_)
    assert again.beginning_with("bread") == model.columns(["bread"])
    profile = follow("bread, galaxy", "quantum photon")
    assert corpora.choices_of(profile, corpora.library(), model=model) == corpora.choices_of(
        profile, corpora.library(), model=again
    )


def test_no_array_holds_objects():
    for documents in ([], TITLES, corpora.library()):
        arrays = TfidfModel().fit(documents).to_arrays()
        assert all(array.dtype.kind in "iuf" for array in arrays.values())


def joined(terms):
    return np.frombuffer("\n".join(terms).encode(), dtype=np.uint8)


@pytest.mark.parametrize(
    "damage",
    [
        {"format": np.array(0)},
        {"format": np.array("npz")},
        {"format": np.array([2, 2])},
        {"format": np.array(np.inf)},
        {"terms": np.zeros(0, np.uint8)},
        {"terms": np.array([0xFF, 0xFE], np.uint8)},
        {"terms": lambda terms: joined(terms.tobytes().decode().split("\n")[::-1])},
        {"words": np.zeros(0, np.uint8)},
        {"words": np.full(9, np.nan)},
        {"idf": np.array([1.0])},
        {"idf": np.array(1.0)},
        {"idf": np.full(9, "x")},
        {"idf": lambda idf: idf * np.nan},
        {"idf": lambda idf: idf[:, None]},
        {"idf": lambda idf: -idf},
        {"idf": lambda idf: idf * 0 + 1e38},
        {"idf_power": np.array(np.nan)},
        {"idf_power": np.array(np.inf)},
        {"idf_power": np.array([1.5, 1.5])},
        {"n_documents": np.array("many")},
        {"n_documents": np.array(-3)},
        {"n_documents": np.zeros(0)},
        {"latent_terms": lambda columns: columns + 1_000_000},
        {"latent_terms": lambda columns: -columns},
        {"latent_terms": lambda columns: columns[:-1]},
        {"latent_terms": lambda columns: columns[:, None]},
        {"latent_terms": np.array(1)},
        {"components": lambda components: components[:, :-1]},
        {"components": lambda components: components.T},
        {"components": lambda components: components * np.inf},
        {"components": np.full(3, "x")},
        {"explained": lambda explained: explained[:-1]},
        {"explained": lambda explained: explained * np.nan},
        {"explained": lambda explained: explained[:, None]},
        {"explained": lambda explained: -explained},
        {"explained": np.array(1.0)},
        *({name: None} for name in ("format", "terms", "words", "idf", "acronyms", "components")),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_model_that_can_not_be_is_refused(damage):
    arrays = corpora.model().to_arrays()
    for name, change in damage.items():
        arrays[name] = change(arrays[name]) if callable(change) else change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(ValueError):  # noqa: PT011, some are refused in numpy's words
        TfidfModel.from_arrays(arrays)


def test_reading_a_text_warns_of_nothing():
    """Not of dividing by zero, nor of a logarithm, whatever is in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vectors = corpora.model().transform(["", "qqq", "bread " * 10_000, "\ud800 \x00"])
        edition = edition_of(corpora.model(), ["", "qqq", "\ud800"])
    assert np.isfinite(vectors.data).all()
    assert not edition.vectors.nnz
