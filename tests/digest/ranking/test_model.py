"""The model: what it learns, stored without objects, refused where it is damaged."""

import io

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from digest.ranking import model as ranking_model
from digest.ranking import text
from digest.ranking.model import IDF_POWER, TfidfModel, counted
from tests.factories import corpora, rankings
from tests.factories.corpora import word
from tests.helpers.data_files import cases

CASES = cases("model_words")

TEXTS = corpora.library()[:300]

# ---- What it learns


def test_weights_equal_scikit_learns_tfidf():
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=text.terms, min_df=2).fit(TEXTS)
    vectorizer.idf_ = vectorizer.idf_**IDF_POWER
    fitted = TfidfModel().fit(TEXTS)
    assert sorted(fitted.stems_) == vectorizer.get_feature_names_out().tolist()
    ours = fitted.known_words(fitted.read(TEXTS[:20]).features).toarray()
    order = [fitted.stems_.tolist().index(one) for one in vectorizer.get_feature_names_out()]
    lengths = np.linalg.norm(ours, axis=1, keepdims=True)  # Some words one document alone has.
    expected = vectorizer.transform(TEXTS[:20]).toarray()
    assert ours[:, order] / lengths == pytest.approx(expected, abs=1e-5)


def test_counts_are_capped_at_255():
    assert sorted(counted([[["bread"] * 1_000, ["oven"]]]).data) == [1, 255, 255]
    fitted = TfidfModel().fit([f"{'bread ' * 1_000}oven", "bread oven"])
    again = TfidfModel.from_arrays(stored(fitted))
    assert fitted.documents_.max() == again.documents_.max() == 255


def test_large_corpus_is_sampled_evenly(monkeypatch):
    monkeypatch.setattr(ranking_model, "MAX_DOCUMENTS", 200)
    documents = [word(n // 20) for n in range(400)]
    fitted = TfidfModel().fit(documents, range(len(documents)))
    assert len(fitted.days_) == 200
    assert (fitted.days_[0], fitted.days_[-1]) == (0, len(documents) - 1)
    assert set(np.diff(fitted.days_)) <= {1, 2, 3}


def test_background_is_older_papers_or_everything():
    dated = TfidfModel().fit(["bread oven"] * 19, [*[1] * 10, *[5] * 9])
    assert len(dated.background(5)) == 10
    assert len(dated.background(1)) == len(dated.background()) == 19


@pytest.mark.parametrize(("documents", "term", "word"), CASES["written"])
def test_a_term_is_shown_as_the_most_frequent_word(documents, term, word):
    assert TfidfModel().fit(documents).word(term) == word


# ---- Corpora of any kind


STRANGE = [
    [],
    [""],
    ["", "the of and"],
    ["bread oven"],
    ["bread oven", "bread flour"],
    ["bread oven"] * 200,
    [word(n) for n in range(200)],
    ["\n\n\n", "\x00", "\ud800 bread", "🦆"],
    [corpora.words(0, 20_000)],
]


@pytest.mark.parametrize("documents", STRANGE)
def test_unusual_corpus_makes_a_working_model(documents):
    fitted = TfidfModel().fit(documents)
    again = TfidfModel.from_arrays(stored(fitted))
    new = [corpora.paper("Bread oven", "Bread", length=0), "", "the of", "\ud800"]
    for one in (fitted, again):
        vectors = one.read(new)
        assert len(vectors) == 4
        assert np.isfinite(vectors.features.data).all()
        assert vectors.latent.shape == (4, len(one.explained_))
        assert vectors.features[1:].nnz == 0
        profile = rankings.follow("bread oven", "", "qqq", mutes=["flour"])
        assert set(rankings.papers_of(profile, new, fitted=one)) <= {0}


# ---- Stored and loaded


def stored(fitted):
    """Return the arrays of a model as they come back from a file that allows no pickle."""
    file = io.BytesIO()
    np.savez_compressed(file, **fitted.to_arrays())
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as arrays:
        return dict(arrays)


def test_fitting_is_deterministic():
    ours, again = (TfidfModel().fit(TEXTS[:100]).to_arrays() for _ in range(2))
    assert [one.tobytes() for one in ours.values()] == [one.tobytes() for one in again.values()]


def test_stored_model_ranks_like_fitted_one():
    again = TfidfModel.from_arrays(stored(corpora.model()))
    new = [corpora.of_subject("baking", 10_000 + n) for n in range(20)]
    profile = rankings.follow("bread oven", "LLM", wants_near=True)
    assert rankings.choices_of(profile, new, fitted=again) == rankings.choices_of(profile, new)


DAMAGE = {
    "format": np.array(2),
    "columns": np.arange(3),
    "idf": np.ones(2),
    "stems": np.frombuffer(b"one", np.uint8),
    "words": np.frombuffer(b"one", np.uint8),
    "components": np.ones((3, 3)),
    "explained": np.ones(3),
    "subjects": np.ones(1, bool),
    "indices": np.ones(1, np.int32),
    "ends": np.ones(1, np.int64),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_damaged_model_is_refused():
    whole = TfidfModel().fit(TEXTS).to_arrays()
    TfidfModel.from_arrays(whole)
    damaged = [whole | {name: array} for name, array in DAMAGE.items()]
    damaged += [{name: whole[name] for name in whole if name != missing} for missing in whole]
    for arrays in damaged:
        with pytest.raises(ValueError):  # noqa: PT011, some are refused in numpy's words
            TfidfModel.from_arrays(arrays)
