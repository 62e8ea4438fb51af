"""The benchmark that ranks an evaluation folder: its metrics and its rankings."""

import gzip
import json
from dataclasses import replace
from math import log2

import numpy as np
import pytest

from digest.ranking import candidates
from digest.ranking.model import unit
from digest.ranking.ranking import choose
from digest.ranking.relevance_feedback import learn
from tests.benchmarks import evaluate
from tests.factories.corpora import model, of_subject
from tests.factories.rankings import candidates_of, follow
from tests.helpers.data_files import cases

CASES = cases("evaluation")


def test_folder_is_ranked_and_measured(tmp_path, capsys):
    for name, records in (("papers", CASES["papers"]), ("readers", CASES["readers"])):
        content = "".join(f"{json.dumps(record)}\n" for record in records)
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(content.encode()))
    output = tmp_path / "rankings.jsonl"
    evaluate.main([str(tmp_path), "--output", str(output)])
    lines = map(json.loads, output.read_text().splitlines())
    rankings = {line["id"]: line["ranking"] for line in lines}
    assert rankings["baker"][0] == "bread"
    assert rankings["watcher"][0] == "stars"
    assert rankings["picky"] == ["stars", "rice"]  # Of equals, the earlier candidate.
    assert rankings["old"] == ["old-1", "old-2"]
    assert rankings["5"] == ["bread", "stars", "rice", "7"]
    metrics = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert metrics["readers"] == "3"
    assert float(metrics["nDCG@10"]) == pytest.approx((1 + 1 + 1 / log2(3)) / 3, abs=1e-4)
    assert metrics["Recall@20"] == metrics["Recall@100"] == "1.0000"


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
