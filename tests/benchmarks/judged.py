"""Fit the weights of the relevance on judged profiles; measure them with one profile left out.

    python -m tests.benchmarks.judged PAPERS.jsonl.gz FOLDER [--semantic MODEL]

FOLDER has profiles.json and judgements.jsonl. The candidates are the papers of the judged days, the
other papers are older. Prints the weights, what a first digest finds (fitted on all profiles, and
on all others), how many picks of each probability are relevant, and what feedback changes: digests
of the first half of the days are answered by the grades, the second half is planned with and
without the answers. A paper of grade RELEVANT is relevant.
"""

import argparse
import gzip
import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from digest.indexing.encoder import Encoder, paper_text
from digest.ranking import relevance
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import BACKGROUND, TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import queries_of
from digest.ranking.ranking import choose
from digest.ranking.relevance_feedback import learn

RELEVANT, DISLIKED, SIZE = 2, 0, 10
BEST = 120  # Candidates of a profile that are fitted, beside the judged ones.
STRENGTH = 5.0  # C of the logistic regression: the inverse of its regularization.
BANDS = 0.42, 0.6, 0.8, 1.0


class Judged:
    """The papers, the profiles and their grades, and the vectors of the papers."""

    def __init__(self, papers: Path, folder: Path, semantic: str | None) -> None:
        with gzip.open(papers, "rt") as file:
            rows = map(json.loads, file)
            self.papers = sorted(rows, key=lambda row: (row["date"], row["id"]))
        self.days = [date.fromisoformat(row["date"]).toordinal() for row in self.papers]
        self.texts = {
            row["id"]: f"{row['title']}\n{row['title']}\n{row['abstract']}" for row in self.papers
        }
        self.profiles = json.loads((folder / "profiles.json").read_text())["profiles"]
        self.grades = {name: {} for name in self.profiles}
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

    def parts(self, candidates: CandidateSet, name: str) -> np.ndarray:
        """Return similarity, coverage and cosine of each line, (n_lines, n_papers, 3)."""
        asked = queries_of(self.profiles[name])
        everything = np.arange(len(candidates))
        covered = [relevance.coverage(self.model, candidates, one, everything) for one in asked]
        similar = relevance.similarity(self.model, candidates, asked)
        cosines = candidates.text_cosines([query.text for query in asked])
        return np.stack([similar, covered, cosines], axis=-1)


def best(parts: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of each paper's best line, and its log-odds."""
    odds = parts @ weights[:3] + weights[3]
    line = odds.argmax(axis=0)
    return parts[line, np.arange(len(line))], odds.max(axis=0)


def fit(judged: Judged, parts: dict, ids: list[str], names: list[str]) -> np.ndarray:
    """Return the weights of similarity, coverage and cosine, and the constant."""
    weights = np.array(relevance.WITH_EMBEDDING if judged.encoder else relevance.WITHOUT_EMBEDDING)
    for _ in range(3):  # The best line of a paper depends on the weights.
        rows, labels = [], []
        for name in names:
            grades, (of_paper, odds) = judged.grades[name], best(parts[name], weights)
            kept = np.isin(ids, [*grades])
            kept[np.argsort(-odds)[:BEST]] = True
            rows.append(of_paper[kept])
            labels += [grades.get(ids[n], 0) >= RELEVANT for n in np.flatnonzero(kept)]
        fitted = LogisticRegression(C=STRENGTH, max_iter=1_000).fit(np.concatenate(rows), labels)
        weights = np.array([*fitted.coef_[0], fitted.intercept_[0]])
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


def print_weights(judged: Judged) -> None:
    """Print the weights, the measures with each profile left out, and the probabilities."""
    first, last = judged.judged_days[0], judged.judged_days[-1]
    some = {paper for grades in judged.grades.values() for paper in grades if grades[paper]}
    week, quiet = judged.candidates(first, last), judged.candidates(first, last, some)
    parts, at_rest = (
        {name: judged.parts(candidates, name) for name in judged.profiles}
        for candidates in (week, quiet)
    )
    names, ids, cut_log_odds = [*judged.profiles], list(week.ids), Parameters().cut_log_odds
    of_all = fit(judged, parts, ids, names)
    print("similarity, coverage, cosine, constant:", of_all.round(1).tolist())
    picked = []
    for label, left_out in (("fitted on all", False), ("fitted on the others", True)):
        rows = []
        for name in names:
            others = [one for one in names if one != name]
            weights = fit(judged, parts, ids, others) if left_out else of_all
            _, odds = best(parts[name], weights)
            order = [n for n in np.argsort(-odds, kind="stable")[:SIZE] if odds[n] >= cut_log_odds]
            alarms = int(np.sum(best(at_rest[name], weights)[1] >= cut_log_odds))
            grades = judged.grades[name]
            rows.append((*measure([ids[n] for n in order], grades, ids), min(alarms, SIZE)))
            if left_out:
                picked += [(odds[n], grades.get(ids[n], 0) >= RELEVANT) for n in order]
        means = "  ".join(f"{value:.3f}" for value in np.nanmean(rows, axis=0))
        print(f"{label:<20} precision, found, nDCG@10, false alarms a profile: {means}")
    chances, good = expit([odds for odds, _ in picked]), np.array([one for _, one in picked])
    for low, high in pairwise(BANDS):
        within = (chances >= low) & (chances < high)
        share = good[within].mean() if within.any() else np.nan
        print(f"of {within.sum()} picks with {low:.0%} to {high:.0%}, {share:.0%} are relevant")


def print_feedback(judged: Judged) -> None:
    """Print what answers to digests of the first half of the days change in the second half."""
    days = [judged.candidates(day, day) for day in judged.judged_days]
    half, rows = len(days) // 2, []
    for name, lines in judged.profiles.items():
        follows, grades = tuple(Interest(line, line) for line in lines), judged.grades[name]
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
    parser.add_argument("papers", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--semantic", metavar="MODEL", help="As SEMANTIC_MODEL.")
    arguments = parser.parse_args()
    judged = Judged(arguments.papers, arguments.folder, arguments.semantic)
    print_weights(judged)
    print_feedback(judged)


if __name__ == "__main__":
    main()
