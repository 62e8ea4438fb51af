"""Synthetic papers for tests of the ranking."""

import random
from functools import cache

from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest
from tests.helpers.data_files import cases

#: The words of each subject. A paper has some of its subject, and others that any paper may have.
SUBJECTS = cases("subjects")
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
