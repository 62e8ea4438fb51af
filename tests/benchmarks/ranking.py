"""How fast the ranking is, and how it grows.

    uv run python -m tests.benchmarks.ranking PAPERS.jsonl.gz [--readers 1000000] [--only fit]

PAPERS is a file as `import_papers` reads it; its last days are the new ones. Subscribers have five
topics each, drawn by Zipf's law from 5,000 query texts (openings and middles of titles); a tenth
has an own model, learned from 20 papers. They are made shard by shard, as planning reads
them, and ranked to the top ten with the topic and the three words behind each, by as many processes
as there are cores, as workers do.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import time
from dataclasses import dataclass

import numpy as np

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.ranking import DEFAULT, choose
from digest.ranking.relevance_feedback import learn
from digest.ranking.retrieval import retrieve
from digest.ranking.text import terms
from tests.benchmarks import due_day

SHARD = 2_000  # As planning.SHARD.
QUERIES = 5_000
NEW = 2_000
TOPICS = 5
LIKED = 20
TASTES = 1_000  # Different sets of liked papers; each subscriber has their own weights.


@dataclass(frozen=True)
class World:
    """What all subscribers share."""

    model: TfidfModel
    candidates: CandidateSet
    interests: list[Interest]
    tastes: list


def read(path):
    with gzip.open(path, "rt") as file:
        papers = [json.loads(line) for line in file]
    return [f"{p['title']}\n{p['title']}\n{p['abstract']}" for p in papers]


def world_of(texts) -> World:
    rng = np.random.default_rng(4)
    model = TfidfModel().fit(texts)
    new = texts[-NEW:]
    names = [f"{number:05}" for number in range(len(new))]
    votes = rng.poisson(2, len(new)) * (rng.random(len(new)) < 0.2)
    read, ages = model.read(new), rng.integers(0, 7, len(new))
    texts_of = {"texts_of": lambda ids: [new[int(one)] for one in ids]}
    candidates = CandidateSet(names, read, ages, votes, [()] * len(new), **texts_of)
    interests = [Interest(query, query) for query in queries_of(texts, rng)]
    chosen = [rng.choice(len(texts) - NEW, LIKED, replace=False) for _ in range(TASTES)]
    tastes = [
        learn(model, [texts[n] for n in some[:15]], [texts[n] for n in some[15:]])
        for some in chosen
    ]
    return World(model, candidates, interests, tastes)


def queries_of(texts, rng):
    """Return different query texts of one to four words, as titles have them."""
    found = {}
    while len(found) < QUERIES:
        words = texts[rng.integers(len(texts))].split("\n")[0].split()
        length = rng.integers(1, 5)
        start = rng.integers(0, max(len(words) - length, 1))
        query = " ".join(words[start : start + length])
        if terms(query):
            found[query] = None
    return list(found)


def shards(world, first, last):
    """Yield the profiles of subscribers `first` to `last`, SHARD at a time, always the same."""
    popularity = 1 / np.arange(1, QUERIES + 1)
    popularity /= popularity.sum()
    for start in range(first, last, SHARD):
        rng = np.random.default_rng(start)
        count = min(SHARD, last - start)
        topics = rng.choice(QUERIES, (count, TOPICS), p=popularity)
        yield [
            Profile(
                tuple(world.interests[n] for n in dict.fromkeys(mine)),
                learned=world.tastes[(start + n) % TASTES] if n % 10 == 0 else None,
            )
            for n, mine in enumerate(topics.tolist())
        ]


WORLD = None


def rank(span):
    """Rank for a span of subscribers; return how many papers they got and this process's peak."""
    picks = 0
    for profiles in shards(WORLD, *span):
        for choices in choose(WORLD.model, WORLD.candidates, profiles, [()] * len(profiles)):
            picks += len(choices)
    return picks, peak()


def ranked(subscribers, processes):
    """Return the seconds for all subscribers, their picks, and all processes' memory in MB."""
    edges = np.linspace(0, subscribers // SHARD, processes + 1).astype(int) * SHARD
    spans = list(zip(edges[:-1].tolist(), [*edges[1:-1].tolist(), subscribers], strict=True))
    started = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        results = pool.map(rank, spans)
    seconds = time.perf_counter() - started
    return seconds, sum(picks for picks, _ in results), sum(mb for _, mb in results)


def peak():
    """Return what this process took at most, in MB: its own pages, not those that it shares."""
    with open("/proc/self/smaps_rollup") as file:
        private = sum(int(line.split()[1]) for line in file if line.startswith("Private"))
    return private / 1024


def fit(texts, count):
    """Fit over `count` abstracts: those that there are, repeated with variations."""
    rng = np.random.default_rng(2)
    repeated = []
    for number in range(count):
        text = texts[number % len(texts)]
        if number >= len(texts):  # Other words in other numbers, and some that no other has.
            words = text.split()
            words = [w for w in words if rng.random() > 0.1]
            text = f"{' '.join(words)} variation{number} {words[number % len(words)]}"
        repeated.append(text)
    started = time.perf_counter()
    model = TfidfModel().fit(repeated)
    seconds = time.perf_counter() - started
    print(
        f"fit: {count:,} abstracts, {len(model.columns_):,} features, {seconds:.1f} s, "
        f"{due_day.peak_mb():,.0f} MB in all"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("papers")
    parser.add_argument("--readers", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=["fit", "readers"])
    options = parser.parse_args()
    texts = read(options.papers)
    if options.only != "readers":
        fit(texts, 100_000)
    if options.only == "fit":
        return
    global WORLD
    WORLD = world_of(texts)
    started = time.perf_counter()
    retrieve(WORLD.model, WORLD.candidates, WORLD.interests, DEFAULT)
    print(
        f"the edition, once for all readers: {QUERIES:,} topics against {len(WORLD.candidates):,} "
        f"papers in {time.perf_counter() - started:.1f} s"
    )
    shared = due_day.peak_mb()
    for subscribers in (options.readers // 10, options.readers):
        seconds, picks, mb = ranked(subscribers, options.processes)
        print(
            f"{subscribers:,} readers, {NEW:,} papers: {seconds:.1f} s, {picks:,} picks,"
            f" {mb + shared:,.0f} MB ({shared:,.0f} of them shared)"
        )


if __name__ == "__main__":
    main()
