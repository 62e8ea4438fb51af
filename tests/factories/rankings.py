"""Short ways to ask for a digest of synthetic papers."""

from dataclasses import replace

import numpy as np

from digest.ranking.candidates import CandidateSet
from digest.ranking.profile import Interest, Profile
from digest.ranking.ranking import DEFAULT, choose
from tests.factories.corpora import EVERYTHING, model


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


def choose_positions(fitted, candidates, profiles, seen, parameters=DEFAULT, **options):
    """Return what `choose` does, with positions instead of ids."""
    places, ids = candidates.places, candidates.ids
    excluded = [{ids[place] for place in some} for some in seen]
    return [
        [
            replace(
                choice,
                paper=places[choice.paper],
                relatives=tuple(places[paper] for paper in choice.relatives),
            )
            for choice in choices
        ]
        for choices in choose(fitted, candidates, profiles, excluded, parameters, **options)
    ]


def choices_of(profile, papers, *, fitted=None, seen=(), first_new=0, **known):
    """Return the digest of one subscriber, with positions instead of ids."""
    model_, parameters = fitted or model(), known.pop("parameters", DEFAULT)
    candidates = candidates_of(papers, model_, **known)
    (choices,) = choose_positions(
        model_, candidates, [profile], [seen], parameters, first_new=[first_new]
    )
    return choices


def papers_of(profile, papers, **known):
    """Return the positions of the papers of one subscriber's digest."""
    return [choice.paper for choice in choices_of(profile, papers, **known)]


def unmuted(papers, *mutes):
    """Return which papers are left to a subscriber who follows all of them and mutes these."""
    profile = Profile((EVERYTHING,), follow(mutes=mutes).mutes, len(papers))
    return [papers[place] for place in sorted(papers_of(profile, papers))]
