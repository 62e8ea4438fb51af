"""`manage.py evaluate DIR`: rank an evaluation folder as digests are ranked, and print metrics."""

import gzip
import json
import resource
import sys
import time
import zlib
from dataclasses import dataclass
from itertools import batched
from pathlib import Path

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.progress import track

from digest import evaluation
from digest.indexing.model_store import document
from digest.management import base
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.relevance_feedback import learn

BATCH = 256  # Readers that are ranked at a time, since scores are dense arrays.


@dataclass
class Folder:
    """An evaluation folder: the papers' texts by id, the ids of new papers, and the readers."""

    texts: dict[str, str]
    new: list[str]
    readers: list[dict]

    @classmethod
    def read(cls, folder: Path) -> "Folder":
        texts, new = {}, {}
        for paper in _records(folder / "papers.jsonl"):
            name = paper["id"]
            texts[name] = document(paper.get("title") or "", paper.get("abstract") or "")
            if paper.get("new", True):
                new[name] = True
        return cls(texts, list(new), list(_records(folder / "readers.jsonl")))

    def corpus(self) -> list[str]:
        """Return the texts to fit the model on: those that are not new, or all."""
        new = set(self.new)
        older = [text for paper, text in self.texts.items() if paper not in new]
        return older or list(self.texts.values())


class Command(BaseCommand):
    help = "Rank an evaluation folder with the product's own ranking and print the metrics."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, metavar="DIR")
        parser.add_argument(
            "--output", type=Path, help="Write each reader's ranking to this file, one line each."
        )

    def handle(self, *, folder, output, **options):
        started = time.perf_counter()
        data = Folder.read(folder)
        model = TfidfModel().fit(data.corpus())
        rankings = self._rank(data, model, Parameters.of(settings.RANKING))
        relevant = [reader.get("relevant") or {} for reader in data.readers]
        metrics = evaluation.measure(rankings, relevant)
        self._print(metrics, time.perf_counter() - started)
        if output is not None:
            with base.writing(output), output.open("w") as file:
                for reader, ranked in zip(data.readers, rankings, strict=True):
                    file.write(json.dumps({"id": reader["id"], "ranking": ranked}) + "\n")

    def _rank(self, data, model, parameters):
        names = list(dict.fromkeys(data.new + [c for r in data.readers for c in _candidates(r)]))
        names = [name for name in names if name in data.texts]
        candidates = _candidate_set(model, names, [data.texts[name] for name in names])
        place = {name: number for number, name in enumerate(names)}
        everyone = [place[name] for name in data.new] or list(range(len(names)))
        rankings = []
        blocks = list(batched(data.readers, BATCH))
        for block in track(blocks, "Ranking", disable=not sys.stderr.isatty()):
            profiles = [_profile(reader, data.texts, model) for reader in block]
            scored = evaluation.scores(model, candidates, profiles, parameters)
            for reader, scores in zip(block, scored, strict=True):
                mine = [place[name] for name in _candidates(reader) if name in place]
                best = evaluation.ranking(scores, mine or everyone)
                rankings.append([names[paper] for paper in best])
        return rankings

    def _print(self, metrics, seconds):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for name, value in (
            ("readers", f"{metrics.readers:,}"),
            ("nDCG@10", f"{metrics.ndcg_at_10:.4f}"),
            ("Recall@20", f"{metrics.recall_at_20:.4f}"),
            ("Recall@100", f"{metrics.recall_at_100:.4f}"),
            ("MRR", f"{metrics.reciprocal_rank:.4f}"),
            ("seconds", f"{seconds:.1f}"),
            ("peak memory", f"{peak:,.0f} MB"),
        ):
            self.stdout.write(f"{name:<12} {value}")


def _records(path):
    """Yield the JSON object in each line of a file, plain or gzipped. Its id becomes a text."""
    packed = path.with_name(path.name + ".gz")
    path = packed if packed.exists() else path
    opened = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):  # noqa: B007, errors name it
                if line.strip():
                    record = json.loads(line)
                    if not isinstance(record, dict) or not isinstance(record.get("id"), str | int):
                        raise ValueError("must be an object with an id")
                    yield record | {"id": str(record["id"])}
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error  # The whole message repeats the path.
        raise CommandError(f"Cannot read {path}: {why}") from error
    except ValueError as error:
        raise CommandError(f"{path}, line {number or 1}: {error}") from error


def _candidate_set(model, names, texts):
    """Return the papers as candidates, with embeddings if SEMANTIC_MODEL is set."""
    semantic = {}
    if settings.SEMANTIC_MODEL:
        from digest.indexing import embeddings
        from digest.indexing.encoder import EncoderError, paper_text

        try:
            encoder = embeddings.load(download=True, threads=0)
        except EncoderError as error:
            raise CommandError(error) from error
        papers = [paper_text(*text.split("\n")[1:]) for text in texts]
        semantic = {"embeddings": encoder.encode(papers), "encode": encoder.encode}
    nothing = np.zeros(len(names))
    categories = [()] * len(names)
    return CandidateSet(names, model.read(texts), nothing, nothing, categories, **semantic)


def _candidates(reader):
    return [str(name) for name in reader.get("candidates") or []]


def _profile(reader, texts, model):
    """Return a reader's profile, without the relevance judgements."""
    liked = [texts[str(name)] for name in reader.get("liked") or [] if str(name) in texts]
    disliked = [texts[str(name)] for name in reader.get("disliked") or [] if str(name) in texts]
    return Profile(
        follows=tuple(Interest(topic, topic) for topic in reader.get("topics") or []),
        learned=learn(model, liked, disliked) if liked or disliked else None,
    )
