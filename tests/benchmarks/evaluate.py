"""Rank an evaluation folder with the product's own ranking, and print metrics.

    uv run python -m tests.benchmarks.evaluate DIR [--output FILE]

DIR has papers.jsonl and readers.jsonl, plain or gzipped, with a JSON object a line:

- papers: `id`, `title`, `abstract`, `new` (default true). The model is fitted on those that are not
  new, or on all.
- readers: `id`, `topics` (texts), `liked` and `disliked` (ids), `candidates` (ids, default: the new
  papers, or all), `relevant` (id -> grade).

FILE gets the best 1,000 candidates of each reader: {"id": …, "ranking": [id, …]} a line. They
have the order of digests without a cut, popularity and folding; papers without a quoted phrase come
last. Metrics are means over the readers with any relevant paper; nDCG has a linear gain, as
trec_eval computes it. With SEMANTIC_MODEL, papers are embedded.
"""

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import batched
from pathlib import Path

import django
import numpy as np

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.ranking import Ranking
from digest.ranking.relevance_feedback import learn
from tests.benchmarks import due_day
from tests.benchmarks.judged import discounted

DEPTH = 1_000  # Of a ranking.
BATCH = 32  # Readers that are ranked at a time, with all papers.
NO_CUT = Parameters(cut=0)
METRICS = ("nDCG@10", "Recall@20", "Recall@100", "MRR")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    readers = list(records(options.folder / "readers.jsonl"))
    rankings = rank(list(records(options.folder / "papers.jsonl")), readers)
    count, means = measure(rankings, [reader.get("relevant") or {} for reader in readers])
    print(f"{'readers':<12} {count:,}")
    for name, mean in zip(METRICS, means, strict=True):
        print(f"{name:<12} {mean:.4f}")
    print(f"{'seconds':<12} {time.perf_counter() - started:.1f}")
    print(f"{'peak memory':<12} {due_day.peak_mb():,.0f} MB")
    if options.output:
        with options.output.open("w") as file:
            for reader, ranking in zip(readers, rankings, strict=True):
                file.write(json.dumps({"id": reader["id"], "ranking": ranking}) + "\n")


def records(path: Path) -> Iterator[dict]:
    """Yield the JSON object in each line of a file, plain or gzipped. Its id becomes a text."""
    packed = path.with_name(f"{path.name}.gz")
    with gzip.open(packed, "rt") if packed.exists() else path.open() as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    record = json.loads(line)
                    yield record | {"id": str(record["id"])}
                except (ValueError, KeyError, TypeError) as error:
                    sys.exit(f"{path}, line {number}: {error!r}")


def rank(papers: list[dict], readers: list[dict]) -> list[list[str]]:
    """Return the ids of each reader's candidates, best first. Of equal scores, in their order."""
    from digest.indexing.model_store import document

    texts = {
        one["id"]: document(one.get("title") or "", one.get("abstract") or "") for one in papers
    }
    new = dict.fromkeys(one["id"] for one in papers if one.get("new", True))
    older = [paper for paper in texts if paper not in new] or list(texts)
    model = TfidfModel().fit([texts[paper] for paper in older])
    pools = [known(texts, reader, "candidates") or list(new) for reader in readers]
    ids = list(dict.fromkeys(paper for pool in [new, *pools] for paper in pool))
    vectors, ages = model.read([texts[paper] for paper in ids]), np.arange(len(ids))
    by_id, encode = embedded(texts)
    semantic = {}
    if by_id:
        of_ids, of_older = (np.array([by_id[paper] for paper in some]) for some in (ids, older))
        semantic = {"embeddings": of_ids, "older": of_older, "encode": encode}
    candidates = CandidateSet(
        ids,
        vectors,
        ages,  # Of equal scores, the younger paper comes first.
        np.zeros(len(ids)),
        [()] * len(ids),
        texts_of=lambda some: [texts[paper] for paper in some],
        **semantic,
    )
    rankings = []
    for batch in batched(zip(readers, pools, strict=True), BATCH):
        profiles = [profile(reader, texts, model, by_id) for reader, _ in batch]
        for (_, pool), order in zip(batch, orders(model, candidates, profiles), strict=True):
            members = set(pool)
            ranked = [paper for paper in order if paper in members]
            rankings.append(list(dict.fromkeys([*ranked, *pool]))[:DEPTH])
    return rankings


def orders(
    model: TfidfModel, candidates: CandidateSet, profiles: Sequence[Profile]
) -> list[list[str]]:
    """Return the ids of the papers for each profile, in the order of a digest without a cut."""
    count = len(profiles)
    picks = Ranking(model, candidates, profiles, [()] * count, [0] * count, NO_CUT).picks()
    papers = np.split(picks.paper, np.searchsorted(picks.owner, np.arange(1, count)))
    return [[candidates.ids[place] for place in places.tolist()] for places in papers]


def known(texts: Collection[str], reader: dict, field: str) -> list[str]:
    return [str(paper) for paper in reader.get(field) or [] if str(paper) in texts]


def profile(
    reader: dict, texts: Mapping[str, str], model: TfidfModel, embeddings: Mapping[str, np.ndarray]
) -> Profile:
    """Return a reader's profile, without the relevance judgements."""
    liked, disliked = (known(texts, reader, field) for field in ("liked", "disliked"))
    learned = None
    if liked or disliked:
        vectors = [embeddings[paper] for paper in liked if paper in embeddings]
        learned = learn(
            model,
            [texts[paper] for paper in liked],
            [texts[paper] for paper in disliked],
            embedding=np.mean(vectors, axis=0).tolist() if vectors else (),
        )
    return Profile(
        follows=tuple(Interest(topic, topic) for topic in reader.get("topics") or []),
        size=len(texts),  # Else papers on the same idea would be counted as one.
        learned=learned,
        has_enough_liked=bool(liked),  # Even few of them: no trending papers instead.
    )


def embedded(texts: Mapping[str, str]) -> tuple[dict[str, np.ndarray], Callable | None]:
    """Return the embeddings of papers, if SEMANTIC_MODEL is set, and what encodes queries."""
    from django.conf import settings

    from digest.indexing import embeddings
    from digest.indexing.encoder import paper_text

    if not settings.SEMANTIC_MODEL:
        return {}, None
    encoder = embeddings.load(download=True, threads=0)
    vectors = encoder.encode([paper_text(*text.split("\n")[1:]) for text in texts.values()])
    return dict(zip(texts, vectors, strict=True)), encoder.encode_queries


def measure(
    rankings: Sequence[Sequence[str]], relevant: Sequence[Mapping[str, float]]
) -> tuple[int, np.ndarray]:
    """Return the number of readers with a relevant paper, and the mean of each of METRICS.

    `relevant` has the grades by id, of each reader.
    """
    rows = [
        metrics(ranking, good)
        for ranking, grades in zip(rankings, relevant, strict=True)
        if (good := {paper: grade for paper, grade in grades.items() if grade > 0})
    ]
    return len(rows), np.mean(rows or np.zeros((1, len(METRICS))), axis=0)


def metrics(ranking: Sequence[str], grades: Mapping[str, float]) -> tuple[float, ...]:
    gains = [grades.get(paper, 0) for paper in ranking]
    best = sorted(grades.values(), reverse=True)
    recall = [len(grades.keys() & set(ranking[:depth])) / len(grades) for depth in (20, 100)]
    first = next((place for place, gain in enumerate(gains, start=1) if gain > 0), np.inf)
    return discounted(gains[:10]) / discounted(best[:10]), *recall, 1 / first


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main()
