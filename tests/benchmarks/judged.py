"""Fit the weights of the relevance on judged profiles; measure them with one person left out.

    python -m tests.benchmarks.judged PAPERS[,OLDER] FOLDER [PAPERS FOLDER …] [--semantic MODEL]

FOLDER has judgements.jsonl and one or more files of profiles (profiles.json, sentences.json,
commas.json): the same person in different words. The candidates are the papers of the judged days,
the other papers are older. Prints the weights, what a first digest finds (fitted on all, and on all
other people), how many picks of each probability are relevant, and what feedback changes: digests
of the first half of the days are answered by the grades, the second half is planned with and
without the answers. A paper of grade RELEVANT is relevant.
"""

import argparse
import gzip
import json
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from digest.indexing.encoder import Encoder, paper_text
from digest.interests import entries
from digest.ranking import relevance
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import BACKGROUND, TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.ranking import choose
from digest.ranking.relevance_feedback import learn
from digest.ranking.retrieval import lines_of

WORDINGS = "profiles", "sentences", "commas"
RELEVANT, DISLIKED, SIZE = 2, 0, 10
BEST = 120  # Candidates of a profile that are fitted, beside the judged ones.
UNGRADED = 0.2  # How much a paper counts that nobody graded: it may be relevant.
STRENGTH = 5.0  # C of the logistic regression: the inverse of its regularization.
BANDS = 0.42, 0.6, 0.8, 1.0


class Judged:
    """The papers, the profiles and their grades, and the vectors of the papers."""

    def __init__(self, papers: str, folder: Path, semantic: str | None) -> None:
        rows = {}
        for path in papers.split(","):
            with gzip.open(path, "rt") as file:
                rows |= {row["id"]: row for row in map(json.loads, file)}
        self.papers = sorted(rows.values(), key=lambda row: (row["date"], row["id"]))
        self.days = [date.fromisoformat(row["date"]).toordinal() for row in self.papers]
        self.texts = {
            row["id"]: f"{row['title']}\n{row['title']}\n{row['abstract']}" for row in self.papers
        }
        self.profiles = {}  # By person and wording.
        for wording in WORDINGS:
            path = folder / f"{wording}.json"
            profiles = json.loads(path.read_text())["profiles"] if path.exists() else {}
            self.profiles |= {(name, wording): lines for name, lines in profiles.items()}
        self.grades = {name: {} for name, _ in self.profiles}
        for row in map(json.loads, (folder / "judgements.jsonl").read_text().splitlines()):
            self.grades[row["profile"]][row["paper"]] = row["grade"]
        graded = {paper for grades in self.grades.values() for paper in grades}
        of_paper = dict(zip(self.texts, self.days, strict=True))
        self.judged_days = sorted({of_paper[paper] for paper in graded})
        self.model = TfidfModel().fit([*self.texts.values()], self.days)
        self.encoder = Encoder.load(semantic, Path("semantic")) if semantic else None
        self.embedded = {}
        if self.encoder:
            first = self.days.index(self.judged_days[0])
            for row in self.papers[max(first - BACKGROUND, 0) :]:
                text = paper_text(row["title"], row["abstract"])
                self.embedded[row["id"]] = self.encoder.encode([text])[0]

    def candidates(self, first: int, last: int, without=frozenset()) -> CandidateSet:
        """Return the papers of some days as candidates."""
        dated = list(zip(self.papers, self.days, strict=True))
        rows = [row for row, day in dated if first <= day <= last and row["id"] not in without]
        ids, meanings = [row["id"] for row in rows], {}
        if self.encoder:
            older = [row["id"] for row, day in dated if day < first]
            meanings = {
                "embeddings": np.array([self.embedded[paper] for paper in ids]),
                "older": np.array([self.embedded[one] for one in older if one in self.embedded]),
                "encode": self.encoder.encode_queries,
            }
        return CandidateSet(
            ids,
            self.model.read([self.texts[paper] for paper in ids]),
            np.zeros(len(ids), int),
            np.zeros(len(ids), int),
            [()] * len(ids),
            first,
            **meanings,
        )

    def features(self, candidates: CandidateSet, text_lines: list[str]) -> np.ndarray:
        """Return what is known of each line and paper, (n_lines, n_papers, 3 * n_weights).

        For a line alone, for one beside the whole, and for one in prose.
        """
        everything = np.arange(len(candidates))
        rows = []
        lines = [line for i in interests_of(text_lines) for line in lines_of(self.model, i) if line]
        for line in lines:
            queries = [line.query, line.whole or line.query]
            similar, whole_similar = relevance.similarity(self.model, candidates, queries)
            cosine, whole_cosine = candidates.text_cosines([query.text for query in queries])
            covered = relevance.coverage(self.model, candidates, line.query, everything)
            known = [similar, covered, cosine, whole_similar, whole_cosine, np.ones(len(similar))]
            rows.append(np.concatenate([(line.kind == n) * np.stack(known) for n in range(3)]).T)
        return np.stack(rows)


def interests_of(text_lines: list[str]) -> tuple[Interest, ...]:
    """Return the interests in own words of somebody who typed these lines."""
    interests = [
        Interest(
            entry.text,
            entry.text,
            read_lines=entries.lines_of(entry.kind, entry.text),
            is_prose=entry.kind == entries.TEXT,
        )
        for entry in entries.read("\n".join(text_lines))
        if not entry.is_muted and entry.kind in (entries.WORDS, entries.TEXT)
    ]
    whole = tuple(dict.fromkeys(line for interest in interests for line in interest.read_lines))
    return tuple(replace(interest, whole=whole) for interest in interests)


def current(judged: Judged) -> np.ndarray:
    """Return the product's weights, (3 * n_weights,)."""
    return np.ravel(relevance.WITH_EMBEDDING if judged.encoder else relevance.WITHOUT_EMBEDDING)


def best(features: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of each paper's best line, and its log-odds."""
    odds = features @ weights
    line = odds.argmax(axis=0)
    return features[line, np.arange(len(line))], odds.max(axis=0)


def fit(weeks: list, left_out: str = "") -> np.ndarray:
    """Return the weights, fitted on the people of all weeks but one person."""
    weights = current(weeks[0][0])
    is_used = weights != 0
    for _ in range(3):  # The best line of a paper depends on the weights.
        rows, labels, certainties = [], [], []
        for judged, features, ids in weeks:
            for (name, _wording), of_lines in features.items():
                if name == left_out:
                    continue
                grades, (of_paper, odds) = judged.grades[name], best(of_lines, weights)
                kept = np.isin(ids, [*grades])
                kept[np.argsort(-odds)[:BEST]] = True
                rows.append(of_paper[kept])
                kept_ids = [ids[n] for n in np.flatnonzero(kept)]
                labels += [grades.get(paper, 0) >= RELEVANT for paper in kept_ids]
                certainties += [1 if paper in grades else UNGRADED for paper in kept_ids]
        regression = LogisticRegression(C=STRENGTH, max_iter=2_000, fit_intercept=False)
        weights = np.zeros(len(is_used))
        used_rows = np.concatenate(rows)[:, is_used]
        weights[is_used] = regression.fit(used_rows, labels, certainties).coef_[0]
    return weights


def measure(picks: list[str], grades: dict, pool: list[str]) -> tuple[float, float, float]:
    """Return precision among judged picks, the share of relevant papers found, and nDCG@10."""
    good = [paper for paper in picks if grades.get(paper, 0) >= RELEVANT]
    relevant = sum(grades.get(paper, 0) >= RELEVANT for paper in pool)
    judged = sum(paper in grades for paper in picks)
    gains = [grades.get(paper, 0) for paper in picks[:SIZE]]
    ideal = sorted((grades.get(paper, 0) for paper in pool), reverse=True)[:SIZE]
    return (
        len(good) / judged if judged else np.nan,
        len(good) / min(SIZE, relevant) if relevant else np.nan,
        discounted(gains) / max(discounted(ideal), 1),
    )


def discounted(gains: list[float]) -> float:
    return sum(gain / np.log2(place + 2) for place, gain in enumerate(gains))


def print_weights(judged_weeks: list[Judged]) -> None:
    """Print the weights, the measures with each person left out, and the probabilities."""
    weeks, quiet_weeks, cut_log_odds = [], [], Parameters().cut_log_odds
    for judged in judged_weeks:
        first, last = judged.judged_days[0], judged.judged_days[-1]
        some = {paper for grades in judged.grades.values() for paper in grades if grades[paper]}
        for group, without in ((weeks, frozenset()), (quiet_weeks, some)):
            candidates = judged.candidates(first, last, without)
            features = {
                key: judged.features(candidates, lines) for key, lines in judged.profiles.items()
            }
            group.append((judged, features, list(candidates.ids)))
    people = dict.fromkeys(name for judged in judged_weeks for name, _ in judged.profiles)
    fits = {"": fit(weeks), **{name: fit(weeks, name) for name in people}}
    for title, weights in (("the product's", current(judged_weeks[0])), ("fitted", fits[""])):
        print(f"weights, {title}: alone, beside the whole, in prose")
        for row in weights.reshape(3, -1).round(1).tolist():
            print("   ", dict(zip(relevance.Weights._fields, row, strict=True)))
    picked = []
    for (judged, features, ids), (_, quiet_features, _) in zip(weeks, quiet_weeks, strict=True):
        for wording in dict.fromkeys(wording for _, wording in features):
            for label in ("the product's weights", "fitted on all", "fitted on the others"):
                rows = []
                for (name, one), of_lines in features.items():
                    if one != wording:
                        continue
                    weights = {
                        "the product's weights": current(judged),
                        "fitted on all": fits[""],
                        "fitted on the others": fits[name],
                    }[label]
                    _, odds = best(of_lines, weights)
                    order = np.argsort(-odds, kind="stable")[:SIZE]
                    order = [n for n in order if odds[n] >= cut_log_odds]
                    quiet_odds = best(quiet_features[name, one], weights)[1]
                    alarms = min(int(np.sum(quiet_odds >= cut_log_odds)), SIZE)
                    grades = judged.grades[name]
                    rows.append((*measure([ids[n] for n in order], grades, ids), alarms))
                    if label == "fitted on the others":
                        picked += [(odds[n], grades.get(ids[n], 0) >= RELEVANT) for n in order]
                means = "  ".join(f"{value:.3f}" for value in np.nanmean(rows, axis=0))
                print(f"{wording:<10} {label:<22} precision, found, nDCG@10, alarms: {means}")
    chances, good = expit([odds for odds, _ in picked]), np.array([one for _, one in picked])
    for low, high in pairwise(BANDS):
        within = (chances >= low) & (chances < high)
        share = good[within].mean() if within.any() else np.nan
        print(f"of {within.sum()} picks with {low:.0%} to {high:.0%}, {share:.0%} are relevant")


def print_feedback(judged: Judged) -> None:
    """Print what answers to digests of the first half of the days change in the second half."""
    days = [judged.candidates(day, day) for day in judged.judged_days]
    half, rows = len(days) // 2, []
    for (name, wording), lines in judged.profiles.items():
        if wording != WORDINGS[0]:
            continue
        follows, grades = interests_of(lines), judged.grades[name]
        answers: dict[bool, list[str]] = {True: [], False: []}

        def digest(candidates, learned, follows=follows):
            profile = Profile(follows, learned=learned)
            (choices,) = choose(judged.model, candidates, [profile], [()])
            return [choice.paper for choice in choices]

        def learned(answers=answers):
            liked, disliked = answers[True], answers[False]
            return learn(judged.model, liked, disliked) if liked or disliked else None

        for candidates in days[:half]:
            for paper in digest(candidates, learned()):
                grade = grades.get(paper)
                if grade == DISLIKED or (grade or 0) >= RELEVANT:
                    answers[grade != DISLIKED].append(judged.texts[paper])
        pool = [paper for candidates in days[half:] for paper in candidates.ids]
        both = []
        for known in (None, learned()):
            picks = [paper for candidates in days[half:] for paper in digest(candidates, known)]
            relevant = sum(grades.get(paper, 0) >= RELEVANT for paper in pool)
            good = sum(grades.get(paper, 0) >= RELEVANT for paper in picks)
            asked = sum(paper in grades for paper in picks)
            both += [good / asked if asked else np.nan, good / relevant if relevant else np.nan]
        rows.append(both)
        said = "  ".join(f"{value:.2f}" for value in both)
        print(f"{name:<14} {len(answers[True]):>3} more, {len(answers[False]):>2} less: {said}")
    means = "  ".join(f"{value:.3f}" for value in np.nanmean(rows, axis=0))
    print(f"precision and found without feedback, precision and found with it: {means}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pairs", nargs="+", metavar="PAPERS FOLDER")
    parser.add_argument("--semantic", metavar="MODEL", help="As SEMANTIC_MODEL.")
    arguments = parser.parse_args()
    pairs = zip(arguments.pairs[::2], arguments.pairs[1::2], strict=True)
    weeks = [Judged(papers, Path(folder), arguments.semantic) for papers, folder in pairs]
    print_weights(weeks)
    print_feedback(weeks[0])


if __name__ == "__main__":
    main()
