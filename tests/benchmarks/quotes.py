"""What quotes leave out because it is written otherwise, and how long it takes to look.

    uv run python -m tests.benchmarks.quotes PAPERS.jsonl.gz

500 phrases of two words that titles have at least five times are topics in quotes, against the last
4,000 papers. Times are of the process alone.
"""

import argparse
import re
import time
from collections import Counter
from itertools import pairwise

import numpy as np

from digest.ranking import text
from digest.ranking.choice import DEFAULT
from digest.ranking.edition import Edition
from digest.ranking.finding import find
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest
from tests.benchmarks.ranking import read

NEW, PHRASES, OFTEN = 4_000, 500, 5


class ByStems(Edition):
    """An edition that has what is quoted where it says the stems."""

    def says_as_written(self, query, among):
        return self.says(query.phrases, among)


def phrases_of(texts):
    count = Counter()
    for one in texts:
        words = re.findall(r"[a-z]+(?:-[a-z]+)?", one.split("\n")[0].lower())
        count.update(pair for pair in pairwise(words) if is_phrase(pair))
    common = [" ".join(pair) for pair, often in count.items() if often >= OFTEN]
    return np.random.default_rng(1).choice(common, PHRASES, replace=False).tolist()


def is_phrase(pair):
    return all(len(word) > 1 and text.stems([word]) for word in pair)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("papers")
    texts = read(parser.parse_args().papers)
    model = TfidfModel().fit(texts)
    quoted = [f'"{phrase}"' for phrase in phrases_of(texts[:-NEW])]
    interests = [Interest(phrase, phrase) for phrase in quoted]
    for kind in (ByStems, Edition, ByStems, Edition):
        edition = kind.of(model, [str(n) for n in range(NEW)], texts[-NEW:])
        edition.presence, edition.directions  # noqa: B018, made before the time counts
        started = time.process_time()
        found = sum(map(len, find(model, edition, interests, DEFAULT)))
        seconds = time.process_time() - started
        print(f"{kind.__name__}: {found:,} papers for {PHRASES} phrases in {seconds:.1f} s")


if __name__ == "__main__":
    main()
