"""Synthetic papers for tests of the ranking, and short ways to ask for a digest of them."""

import random
from functools import cache

import numpy as np

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.selection import DEFAULT, choose

#: The words of each subject. A paper has some of its subject, and others that any paper may have.
SUBJECTS = {
    "baking": "bread flour yeast oven crust dough",
    "stars": "galaxy redshift quasar supernova telescope nebula",
    "graphs": "graph vertex clique spectral coloring planar",
    "molecules": "molecular ligand enzyme peptide folding binding",
    "language": "language translation grammar corpus dialogue speech",
    "markets": "auction bidder price equity portfolio volatility",
    "cells": "cell tumor antigen receptor cytokine immune",
    "climate": "rainfall monsoon drought glacier aerosol ocean",
}
N_OTHERS = 100  # Subjects of made-up words, that no test asks for.
N_PAPERS = 3_200  # Enough that nothing of the rule for young installations is at work.
DEFINITION = "large language models (LLMs)"
EVERYTHING = Interest("everything", "", categories=("all",))


def word(number):
    """Return a word that nobody uses: its own stem, and a different one for each number."""
    return "zo" + "".join("bdfgkmnprt"[int(digit)] for digit in f"{number:04}")


def words(first, count):
    return " ".join(word(number) for number in range(first, first + count))


def paper(title, abstract="", length=30):
    """Return the text of a paper, its abstract filled up with words that any paper may have."""
    draw = random.Random(f"{title} {abstract}")
    rest = [word(int(1_000 * draw.random() ** 2)) for _ in range(length)]
    return f"{title}\n{title}\n{abstract}. {' '.join(rest)}"


def of_subject(subject, number):
    """Return the text of a paper of a subject, always the same."""
    draw = random.Random(f"{subject} {number}")
    place = [*SUBJECTS, *range(N_OTHERS)].index(subject)
    said = SUBJECTS[subject].split() if subject in SUBJECTS else words(2_000 + 6 * place, 6).split()
    title = " ".join([*draw.sample(said, 2), word(draw.randrange(1_000))])
    return paper(title, " ".join(draw.sample(said, 4)))


@cache
def library():
    """Return the texts of N_PAPERS, the subjects in turn."""
    subjects = [*SUBJECTS, *range(N_OTHERS)]
    papers = [of_subject(subjects[n % len(subjects)], n) for n in range(N_PAPERS)]
    papers[20::400] = [paper(f"How {DEFINITION} see it", f"{n}") for n in range(8)]
    return papers


@cache
def model():
    return TfidfModel().fit(library())


def candidates_of(papers, fitted=None, ids=None, **known):
    """Return papers as candidates. They are named by their positions where they have no ids."""
    count = len(papers)
    facts = {"ages": [0] * count, "upvotes": [0] * count, "categories": [("all",)] * count} | known
    facts |= {name: np.array(facts[name]) for name in ("ages", "upvotes")}
    return CandidateSet(
        ids or [f"{n:03}" for n in range(count)],
        (fitted or model()).read(papers),
        texts_of=lambda some: [papers[int(one)] for one in some],
        **facts,
    )


def follow(*lines, mutes=(), **settings):
    """Return the profile of a subscriber who follows and mutes these texts."""
    follows, muted = (tuple(Interest(one, one) for one in some) for some in (lines, mutes))
    return Profile(follows, muted, **settings)


def choices_of(profile, papers, *, fitted=None, seen=(), since=0, among=slice(None), **known):
    """Return the digest of one subscriber."""
    model_, parameters = fitted or model(), known.pop("parameters", DEFAULT)
    candidates = candidates_of(papers, model_, **known)
    (choices,) = choose(
        model_, candidates, [profile], [seen], parameters, since=[since], among=among
    )
    return choices


def papers_of(profile, papers, **known):
    """Return the positions of the papers of one subscriber's digest."""
    return [choice.paper for choice in choices_of(profile, papers, **known)]


def unmuted(papers, *mutes):
    """Return which papers are left to a subscriber who follows all of them and mutes these."""
    profile = Profile((EVERYTHING,), follow(mutes=mutes).mutes, len(papers))
    return [papers[place] for place in sorted(papers_of(profile, papers))]
