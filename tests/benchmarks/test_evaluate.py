"""The benchmark that ranks an evaluation folder: its metrics and its rankings."""

import gzip
import json
from math import log2

import pytest

from tests.benchmarks import evaluate
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
