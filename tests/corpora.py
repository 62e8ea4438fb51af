"""Papers made of words, for tests of the ranking, and short ways to ask for a choice."""

import random
from functools import cache

from digest.ranking.choice import choose
from digest.ranking.edition import Edition
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile

TITLES = [
    "Graph neural networks for traffic forecasting on road networks",
    "A survey of graph neural networks",
    "Neural networks for images",
    "Neural networks and their images",
    "Training neural networks on images",
    "Diffusion models generate molecular graphs",
    "Protein folding with language models",
    "Bayesian statistics of bread",
    "Large language models reason about bread",
]

#: Papers that define an acronym, often enough for it to stand for its words from then on.
DEFINING = [
    f"Large language models (LLMs) in {place}" for place in ("cars", "pots", "law", "bed", "art")
]

#: Of each subject, the words that tests ask for. It has as many made-up ones that none asks for.
SUBJECTS = {
    "baking": "bread flour yeast oven crust dough",
    "stars": "galaxy redshift quasar supernova telescope nebula",
    "graphs": "graph vertex clique spectral coloring planar",
    "molecules": "protein ligand enzyme peptide folding binding",
    "language": "language translation grammar corpus dialogue speech",
    "markets": "auction bidder price equity portfolio volatility",
    "quantum": "qubit entanglement photon decoherence spin lattice",
    "climate": "rainfall monsoon drought glacier aerosol ocean",
}
EACH = 15  # Papers of a subject: together enough for a latent part and for feedback.
COMMON = ["survey", "theory", "experiment", "measurement", "simulation", "algorithm"]


def word(number):
    """Return a word that nobody uses: its own stem, and a different one for each number."""
    return "zo" + "".join("bdfgkmnprt"[int(digit)] for digit in f"{number:04}")


def words(first, count):
    return " ".join(word(number) for number in range(first, first + count))


def paper(subject, number):
    """Return the text of one paper of a subject, always the same: some 20 different words."""
    draw = random.Random(f"{subject} {number}")
    place = list(SUBJECTS).index(subject)
    said = SUBJECTS[subject].split()
    title = draw.sample(said, 2)
    abstract = draw.sample(said, 3) + draw.sample(COMMON, 3)
    abstract += draw.sample([word(100 * place + n) for n in range(12)], 6)
    abstract += [word(1_000 + 1_000 * place + 10 * number + n) for n in range(8)]
    draw.shuffle(abstract)
    return f"{' '.join(title)}\n{' '.join(abstract)}"


@cache
def library():
    """Return the texts of all subjects' papers, subject after subject."""
    return [paper(subject, number) for subject in SUBJECTS for number in range(EACH)]


def of_subject(subject):
    """Return where the papers of a subject stand in the library."""
    first = list(SUBJECTS).index(subject) * EACH
    return range(first, first + EACH)


@cache
def model():
    """Return the model that is fitted on the library: with a latent part."""
    return TfidfModel().fit(library())


def edition_of(model, papers, ids=None, **known):
    """Return the papers as an edition. They are named by their places where they have no ids."""
    return Edition.of(model, ids or [f"{n:03}" for n in range(len(papers))], papers, **known)


def follow(*topics, mutes=(), size=10, learned=None):
    """Return the profile of who follows and mutes these texts."""
    follows = tuple(Interest(topic, topic) for topic in topics)
    return Profile(follows, tuple(Interest(mute, mute) for mute in mutes), size, learned)


def choices_of(profile, papers=TITLES, *, seen=(), model=None, **known):
    """Return what one reader is given of the papers, on which the model is fitted by default."""
    model = model or TfidfModel().fit(papers)
    (choices,) = choose(model, edition_of(model, papers, **known), [profile], [set(seen)])
    return choices


def papers_of(profile, papers=TITLES, **known):
    """Return which papers one reader is given, best first, as their places."""
    return [choice.paper for choice in choices_of(profile, papers, **known)]


def everything(weight=1.0):
    """Return an interest in the category of all papers."""
    return Interest("everything", "", weight, ("all",))


def unmuted(papers, *mutes):
    """Return which papers are left to who follows all of them and mutes these texts."""
    profile = Profile((everything(),), follow(mutes=mutes).mutes, len(papers))
    places = papers_of(profile, papers, categories=[("all",)] * len(papers))
    return [papers[place] for place in sorted(places)]
