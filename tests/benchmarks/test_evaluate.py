"""The benchmark that ranks an evaluation folder: its metrics and its rankings."""

import gzip
import json
from dataclasses import replace
from math import log2

import numpy as np
import pytest

from digest.indexing import embeddings
from digest.ranking import candidates
from digest.ranking.model import unit
from digest.ranking.ranking import choose
from digest.ranking.relevance_feedback import learn
from tests.benchmarks import evaluate
from tests.factories.corpora import model, of_subject
from tests.factories.rankings import candidates_of, follow
from tests.helpers.data_files import cases

CASES = cases("evaluation")
PAPERS, PEOPLE = CASES["papers"], CASES["readers"]


def ranked(folder, papers=PAPERS, people=PEOPLE, *, packed=False):
    """Return the rankings by id, from the file that the benchmark writes."""
    for name, records in (("papers", papers), ("readers", people)):
        content = "".join(f"{json.dumps(record)}\n" for record in records).encode()
        path = folder / (f"{name}.jsonl.gz" if packed else f"{name}.jsonl")
        path.write_bytes(gzip.compress(content) if packed else content)
    output = folder / "rankings.jsonl"
    evaluate.main([str(folder), "--output", str(output)])
    lines = map(json.loads, output.read_text().splitlines())
    return {line["id"]: line["ranking"] for line in lines}


def test_metrics_are_means_of_linear_gains_at_their_depths():
    # Grades 1, 0 and 2 at the first three places; 1 was not found.
    ndcg = (1 + 2 / log2(4)) / (2 + 1 / log2(3) + 1 / log2(4))
    count, means = evaluate.measure([["a", "b", "c"], []], [{"a": 1, "c": 2, "z": 1}, {"a": 0}])
    assert (count, *means) == (1, *map(pytest.approx, (ndcg, 2 / 3, 2 / 3, 1)))
    ranking, relevant = [str(n) for n in range(150)], [{str(n): 1} for n in (9, 10, 20, 100)]
    _, means = evaluate.measure([ranking] * 4, relevant)
    reciprocal = sum(1 / n for n in (10, 11, 21, 101)) / 4
    assert list(means) == pytest.approx([1 / log2(11) / 4, 2 / 4, 3 / 4, reciprocal])
    assert evaluate.measure([], [])[0] == 0


@pytest.mark.parametrize("packed", [False, True])
def test_folder_is_ranked_and_measured(tmp_path, capsys, packed):
    rankings = ranked(tmp_path, packed=packed)
    assert rankings["baker"][0] == "bread"
    assert rankings["watcher"][0] == "stars"
    assert rankings["picky"] == ["stars", "rice"]  # Of equals, the earlier candidate.
    assert rankings["old"] == ["old-1", "old-2"]
    assert rankings["5"] == ["bread", "stars", "rice", "7"]
    metrics = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert metrics["readers"] == "3"
    assert float(metrics["nDCG@10"]) == pytest.approx((1 + 1 + 1 / log2(3)) / 3, abs=1e-4)
    assert metrics["Recall@20"] == metrics["Recall@100"] == "1.0000"


def test_judgements_change_no_ranking(tmp_path):
    without = [person | {"relevant": {"rice": 3}} for person in PEOPLE]
    assert ranked(tmp_path, people=without) == ranked(tmp_path)


def test_model_is_fitted_on_new_papers_without_older_ones(tmp_path):
    papers = [{key: value for key, value in paper.items() if key != "new"} for paper in PAPERS]
    ranking = ranked(tmp_path, papers, [{"id": "a", "topics": ["rice"]}])["a"]
    assert set(ranking[:2]) == {"rice", "old-3"}
    assert len(ranking) == len(PAPERS)


def test_bad_line_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"papers\.jsonl, line 8"):
        ranked(tmp_path, [*PAPERS, {"title": "Bread"}])


def test_papers_are_embedded_with_a_semantic_model(tmp_path, settings, monkeypatch):
    class Encoder:
        def encode(self, texts):
            near = ("Rice", "Of rice", "bread")  # New, older, and the topic.
            return np.array([[1.0, 0] if text.startswith(near) else [0, 1] for text in texts])

        encode_queries = encode

    people = [*PEOPLE, {"id": "eater", "liked": ["old-3"]}]
    rankings = ranked(tmp_path, people=people)
    assert (rankings["baker"][0], rankings["eater"][0]) == ("bread", "bread")
    settings.SEMANTIC_MODEL = "stub"
    monkeypatch.setattr(embeddings, "load", lambda **options: Encoder())
    monkeypatch.setattr(candidates, "MIN_OLDER", 1)
    monkeypatch.setattr(candidates, "NEIGHBOURS", 1)
    rankings = ranked(tmp_path, people=people)
    assert (rankings["baker"][0], rankings["eater"][0]) == ("rice", "rice")


@pytest.mark.slow
@pytest.mark.parametrize("has_embeddings", [False, True])
def test_papers_have_the_order_of_a_digest(monkeypatch, has_embeddings):
    monkeypatch.setattr(candidates, "MIN_OLDER", 1)
    papers = [of_subject(subject, 10_000 + n) for n in range(15) for subject in ("baking", "stars")]
    vectors = unit(np.random.default_rng(5).normal(size=(60, 8)))
    semantic = {
        "embeddings": vectors[:30],
        "older": vectors[30:],
        "encode": lambda texts: vectors[: len(texts)],
    }
    some = candidates_of(papers, **semantic if has_embeddings else {})
    likes = [of_subject("baking", 20_000 + n) for n in range(12)]
    learned = learn(model(), likes, embedding=vectors[0].tolist() if has_embeddings else ())
    topic = follow("the", "galaxy", size=30)
    profiles = [topic, replace(topic, follows=(), learned=learned, has_enough_liked=True)]
    for profile, order in zip(profiles, evaluate.orders(model(), some, profiles), strict=True):
        (choices,) = choose(model(), some, [profile], [()])
        assert choices
        assert order[: len(choices)] == [choice.paper for choice in choices]
