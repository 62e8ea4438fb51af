"""How good the ranking is: the metrics, and the command that measures a folder."""

import gzip
import json
from math import log2

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from digest import evaluation
from digest.evaluation import Metrics, measure
from digest.ranking.profile import Profile
from digest.ranking.relevance_feedback import learn
from digest.ranking.selection import DEFAULT
from tests.factories.corpora import model, of_subject
from tests.factories.rankings import candidates_of, choices_of, follow

# ---- The metrics, by hand


def test_gains_are_linear_and_discounted_by_place():
    # Grades 1, 0 and 2 at the first three places; 1 was not found.
    metrics = measure([["a", "b", "c"]], [{"a": 1, "c": 2, "z": 1}])
    found, best = 1 + 2 / log2(4), 2 + 1 / log2(3) + 1 / log2(4)
    assert metrics == Metrics(
        1, pytest.approx(found / best), pytest.approx(2 / 3), pytest.approx(2 / 3), 1.0
    )


def test_each_metric_looks_as_deep_as_it_says():
    assert measure([["a", "b", "c", "d"]], [{"c": 1, "d": 5}]).reciprocal_rank == 1 / 3
    ranking = [str(n) for n in range(150)]
    last = measure([ranking] * 4, [{str(n): 1} for n in (9, 10, 19, 20)])
    assert last.ndcg_at_10 == pytest.approx(1 / log2(11) / 4)
    assert last.recall_at_20 == 3 / 4
    assert measure([ranking] * 2, [{"99": 1}, {"100": 1}]).recall_at_100 == 1 / 2
    perfect = measure([ranking[:15]], [{paper: 1 for paper in ranking[:15]}])
    assert (perfect.ndcg_at_10, perfect.recall_at_20) == (1, 1)


def test_readers_with_nothing_to_find_are_left_out_of_the_means():
    metrics = measure([["a"], ["a"], ["a", "b"]], [{}, {"a": 0, "b": -1}, {"b": 1, "a": 0}])
    assert metrics == Metrics(1, pytest.approx(1 / log2(3)), 1.0, 1.0, 0.5)
    assert measure([], []) == measure([["a"]], [{}]) == Metrics(0, 0, 0, 0, 0)


# ---- The ranking that is measured


def test_of_equals_the_earlier_candidate_comes_first_and_nothing_last():
    scores = np.array([0.0, 0.5, 0.0, 0.5, 0.9])
    assert evaluation.ranking(scores, [0, 1, 2, 3, 4]) == [4, 1, 3, 0, 2]
    assert evaluation.ranking(scores, [3, 2, 1, 0]) == [3, 1, 2, 0]
    assert evaluation.ranking(scores, []) == []
    assert evaluation.ranking(np.arange(1_500.0), range(1_500)) == [*range(1_499, 499, -1)]


@pytest.mark.slow
def test_papers_are_measured_by_the_scores_with_which_they_are_chosen():
    papers = [of_subject(subject, 10_000 + n) for n in range(15) for subject in ("baking", "stars")]
    learned = learn(model(), papers[:4:2])
    profiles = [follow("bread oven", size=30, learned=learned), Profile(), follow("the", "galaxy")]
    scores = evaluation.scores(model(), candidates_of(papers), profiles, DEFAULT)
    chosen = [one for one in choices_of(profiles[0], papers) if one.basis == "topic"]
    assert chosen
    for one in chosen:
        assert one.score == pytest.approx(min(scores[0, one.paper], 1), abs=1e-4)
    assert not scores[1].any()
    assert all(place % 2 for place in np.argsort(-scores[2])[:10])


# ---- The command

PAPERS = [
    {"id": "old-1", "title": "Bread in ovens", "abstract": "Yeast and flour.", "new": False},
    {"id": "old-2", "title": "Galaxies", "abstract": "Redshifts of quasars.", "new": False},
    {"id": "old-3", "title": "Of rice", "abstract": "Bread, galaxies and rice.", "new": False},
    {"id": "bread", "title": "Flour of bread", "abstract": "Yeast in ovens.", "new": True},
    {"id": "stars", "abstract": "Redshifts of galaxies and quasars.", "new": True, "doi": "x"},
    {"id": "rice", "title": "Rice", "abstract": None, "new": True},
    {"id": "nothing", "title": None, "new": True},
]
READERS = [
    {"id": "baker", "topics": ["bread"], "liked": [], "disliked": [], "relevant": {"bread": 1}},
    {"id": "watcher", "topics": [], "liked": ["old-2"], "relevant": {"stars": 2}, "age": 40},
    {"id": "picky", "topics": ["bread"], "candidates": ["stars", "rice"], "relevant": {"rice": 1}},
    {"id": "silent"},
]


def lines_of(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def write(folder, papers=PAPERS, readers=READERS, *, packed=False):
    for name, records in (("papers", papers), ("readers", readers)):
        content = records if isinstance(records, bytes) else lines_of(records)
        path = folder / (f"{name}.jsonl.gz" if packed else f"{name}.jsonl")
        path.write_bytes(gzip.compress(content) if packed else content)


def evaluate(folder):
    """Return the rankings by reader, from the file that the command writes."""
    output = folder / "rankings.jsonl"
    call_command("evaluate", str(folder), output=output)
    rankings = [json.loads(line) for line in output.read_text().splitlines()]
    assert all(set(line) == {"id", "ranking"} for line in rankings)
    return {line["id"]: line["ranking"] for line in rankings}


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_is_ranked_and_measured(tmp_path, capsys, packed):
    write(tmp_path, packed=packed)
    rankings = evaluate(tmp_path)
    assert rankings["baker"][0] == "bread"
    assert rankings["watcher"][0] == "stars"
    assert rankings["picky"] == ["stars", "rice"]
    assert rankings["silent"] == ["bread", "stars", "rice", "nothing"]
    metrics = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert metrics["readers"] == "3"
    assert float(metrics["nDCG@10"]) == pytest.approx((1 + 1 + 1 / log2(3)) / 3, abs=1e-4)
    assert float(metrics["MRR"]) == pytest.approx((1 + 1 + 1 / 2) / 3, abs=1e-4)
    assert metrics["Recall@20"] == metrics["Recall@100"] == "1.0000"
    assert {"seconds", "peak"} <= set(metrics)


def test_with_a_semantic_model_the_folder_is_embedded(tmp_path, settings, monkeypatch):
    from digest.indexing import embeddings

    class Encoder:
        def encode(self, texts):
            return np.array([[1.0, 0] if one[:4] in ("Rice", "brea") else [0, 1] for one in texts])

    write(tmp_path, readers=[{"id": "a", "topics": ["bread"], "relevant": {"rice": 1}}])
    assert evaluate(tmp_path)["a"][0] == "bread"
    settings.SEMANTIC_MODEL = "stub"
    monkeypatch.setattr(embeddings, "load", lambda **options: Encoder())
    assert evaluate(tmp_path)["a"][0] == "rice"


def test_what_is_relevant_changes_no_ranking(tmp_path):
    write(tmp_path)
    rankings = evaluate(tmp_path)
    ids = [paper["id"] for paper in PAPERS]
    for relevant in ({}, {"rice": 3, "nothing": 1}, dict.fromkeys(ids, 1), None):
        write(tmp_path, readers=[reader | {"relevant": relevant} for reader in READERS])
        assert evaluate(tmp_path) == rankings


def test_where_all_papers_are_new_the_model_is_fitted_on_all(tmp_path):
    papers = [{key: value for key, value in paper.items() if key != "new"} for paper in PAPERS]
    write(tmp_path, papers, [{"id": 7, "topics": ["rice"]}])
    ranking = evaluate(tmp_path)["7"]
    assert set(ranking[:2]) == {"rice", "old-3"}
    assert len(ranking) == len(PAPERS)


def test_candidates_may_be_old_and_the_unknown_are_left_out(tmp_path):
    reader = {"id": "a", "topics": ["bread"], "candidates": ["old-2", "gone", "old-1", "stars"]}
    write(tmp_path, readers=[reader | {"liked": ["gone"], "disliked": ["gone"]}])
    ranking = evaluate(tmp_path)["a"]
    assert ranking[0] == "old-1"
    assert sorted(ranking) == ["old-1", "old-2", "stars"]


def test_the_settings_of_digests_are_those_that_are_measured(tmp_path, settings):
    write(tmp_path)
    settings.RANKING = {"no_such_setting": 1}
    with pytest.raises(ValueError, match="no_such_setting"):
        call_command("evaluate", str(tmp_path))


BAD_LINES = [
    (lines_of(PAPERS) + b"\n{not json\n", READERS, "papers.jsonl, line 9"),
    (PAPERS, lines_of(READERS[:2]) + b'{"id": "a"\n', "readers.jsonl, line 3"),
    ([*PAPERS, ["a"]], READERS, "papers.jsonl, line 8"),
    ([{"title": "Bread"}], READERS, "papers.jsonl, line 1"),
    (PAPERS, [READERS[0], {"id": None}], "readers.jsonl, line 2"),
    (PAPERS, [READERS[0], "a"], "readers.jsonl, line 2"),
    (b"\xff\xfe\n", READERS, "papers.jsonl, line 1"),
]


@pytest.mark.parametrize(("papers", "readers", "where"), BAD_LINES)
def test_a_bad_line_is_reported_by_its_file_and_number(tmp_path, papers, readers, where):
    write(tmp_path, papers, readers)
    with pytest.raises(CommandError, match=where):
        call_command("evaluate", str(tmp_path))


def test_metrics_are_printed_though_the_rankings_cannot_be_written(tmp_path, capsys):
    write(tmp_path)
    with pytest.raises(CommandError, match=r"Cannot write .+: No such file"):
        call_command("evaluate", str(tmp_path), output=tmp_path / "no" / "rankings.jsonl")
    assert "nDCG@10" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["missing", "cut", "spoilt", "no gzip"])
def test_a_file_that_cannot_be_read_is_reported(tmp_path, how):
    write(tmp_path, packed=True)
    file = tmp_path / "papers.jsonl.gz"
    octets = file.read_bytes()
    file.unlink()
    if how != "missing":
        spoilt = {"cut": octets[:-12], "spoilt": octets[:20] + b"\xff" * 9 + octets[29:]}
        file.write_bytes(spoilt.get(how, b"no gzip"))
    with pytest.raises(CommandError, match=r"papers\.jsonl"):
        call_command("evaluate", str(tmp_path))
