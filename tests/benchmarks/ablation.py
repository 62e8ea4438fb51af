"""What each ingredient of the ranking adds: the evaluation again, each time without one of them.

    uv run python -m tests.benchmarks.ablation FOLDER…

FOLDER is as `manage.py evaluate` reads it. Prints nDCG@10 / Recall@100 for each.
"""

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from digest.management.commands.evaluate import Command, Folder  # noqa: E402
from digest.ranking import evaluation, learning, model, query, relevance, text  # noqa: E402
from digest.ranking.tuning import Tuning  # noqa: E402


class Words(dict):
    """Word -> itself: no stem, no other spelling, but stop words still have no term."""

    known = text._stems

    def __missing__(self, word):
        return word if self.known[word] else ""


@contextmanager
def without(ingredient):
    """Take one ingredient away."""
    changes = {
        "stemming and spellings": (text, "_stems", Words()),
        "words side by side": (relevance, "TOGETHER", 1.0),
        "ridge regression": (learning, "RIDGE", 1e9),
    }
    if ingredient not in changes:
        yield
        return
    where, name, value = changes[ingredient]
    with mock.patch.object(where, name, value):
        yield


ABLATIONS = {
    "all of it": {},
    "without stemming and spellings": {"ingredient": "stemming and spellings"},
    "without the stronger idf (power 1)": {"params": {"idf_power": 1.0}},
    "without the latent part": {"params": {"n_components": 0}},
    "without words of the best papers": {"tuning": {"expansion": 0}},
    "without words side by side": {"ingredient": "words side by side"},
    "without the ridge regression": {"ingredient": "ridge regression"},
    "TF-IDF alone": {
        "params": {"idf_power": 1.0, "n_components": 0},
        "tuning": {"expansion": 0},
        "ingredient": "words side by side",
    },
}


def measured(folder, ingredient="", params=None, tuning=None):
    query.remembered.cache_clear()  # It holds terms, which an ingredient may change.
    with without(ingredient):
        data = Folder.read(folder)
        fitted = model.TfidfModel(**params or {}).fit(data.corpus())
        rankings = Command()._rank(data, fitted, Tuning.of(tuning or {}))
    found = evaluation.measure(rankings, [reader.get("relevant") or {} for reader in data.readers])
    return f"{found.ndcg_at_10:.4f} / {found.recall_at_100:.4f}"


def main():
    folders = [Path(name) for name in sys.argv[1:]]
    print("|  | " + " | ".join(folder.name for folder in folders) + " |")
    print("|---|" + "---|" * len(folders))
    for said, changes in ABLATIONS.items():
        row = (measured(folder, **changes) for folder in folders)
        print(f"| {said} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
