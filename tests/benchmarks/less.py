"""What is left of a theme of her topic to a reader who says "less" to it, and what of the rest.

    uv run python -m tests.benchmarks.less PAPERS.jsonl.gz

PAPERS is a file as `import_papers` reads it, of real papers with their days. The model is fitted on
all but the last 25 days; readers of one topic each get their digests on the last 24. On the fifth
to seventh day they say "less" to what is on the theme, three papers a day at most. A paper is on it
where its title says a word of it, or its abstract two.
"""

import argparse
import gzip
import json
import re
from collections import Counter
from datetime import date

from digest.ranking.choice import choose
from digest.ranking.edition import Edition
from digest.ranking.learning import learn
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile

THEMES = [
    ("large language models", r"\bagent(s|ic)?\b"),
    ("large language models", r"medic|clinic|health"),
    ("large language models", r"\bcode|software|program"),
    ("diffusion models", r"\bvideo"),
    ("diffusion models", r"medic|MRI|\bCT\b"),
    ("reinforcement learning", r"language model|\bLLM"),
    ("reinforcement learning", r"robot"),
    ("graph neural networks", r"molecul|protein|drug"),
    ("graph neural networks", r"traffic|recommend"),
    ("image segmentation", r"medic|tumou?r|clinic|MRI"),
    ("robot manipulation", r"language|VLA\b"),
    ("federated learning", r"privacy|private"),
    ("speech recognition", r"emotion|speaker"),
    ("causal inference", r"language model|LLM"),
]
DAYS, NEW = 24, 7
SAYING, A_DAY = range(4, 7), 3
LIKES = 5  # From so many on, she likes no more. Two a day, of the days before.


class World:
    """The papers, and those that are new on each day."""

    def __init__(self, path):
        with gzip.open(path, "rt") as file:
            self.papers = [json.loads(line) for line in file]
        self.texts = [f"{p['title']}\n{p['title']}\n{p['abstract']}" for p in self.papers]
        of = [date.fromisoformat(p["date"]).toordinal() for p in self.papers]
        days = sorted(set(of))
        old = [n for n, day in enumerate(of) if day < days[-DAYS - 1]]
        self.model = TfidfModel().fit([self.texts[n] for n in old])
        self.editions = [self._edition(of, day) for day in days[-DAYS:]]

    def _edition(self, of, today):
        new = [n for n, day in enumerate(of) if today - NEW < day <= today]
        edition = Edition.of(
            self.model,
            [self.papers[n]["id"] for n in new],
            [self.texts[n] for n in new],
            ages=[float(today - of[n]) for n in new],
            fields=[self.papers[n]["categories"][0].split(".")[0] for n in new],
        )
        return new, edition

    def is_on(self, theme, n):
        title, abstract = self.papers[n]["title"], self.papers[n]["abstract"]
        found = re.findall(theme, abstract, re.IGNORECASE)
        return bool(re.search(theme, title, re.IGNORECASE)) or len(found) >= 2


def after(world, topic, theme, likes, is_heard) -> Counter:
    """Return how many papers a reader had after what she said, and of them, on the theme."""
    liked, disliked, seen, had = [], [], set(), Counter()
    for day, (new, edition) in enumerate(world.editions):
        learned = learn(
            world.model, [world.texts[n] for n in liked], [world.texts[n] for n in disliked]
        )
        profile = Profile((Interest(topic, topic),), learned=learned)
        hidden = {place for place, n in enumerate(new) if n in seen}
        (chosen,) = choose(world.model, edition, [profile], [hidden])
        seen |= {new[place] for one in chosen for place in (one.paper, *one.relatives)}
        on = {True: [], False: []}
        for one in chosen:
            on[world.is_on(theme, new[one.paper])].append(new[one.paper])
        if day < SAYING.start and len(liked) < likes:
            liked += on[False][:2]
        elif day in SAYING and is_heard:
            disliked += on[True][:A_DAY]
        elif day >= SAYING.stop:
            had.update({"theme": len(on[True]), "others": len(on[False])})
    return had


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("papers")
    world = World(parser.parse_args().papers)
    for likes in (0, LIKES):
        for is_heard in (False, True):
            had = Counter()
            for topic, theme in THEMES:
                had += after(world, topic, theme, likes, is_heard)
            said = "less heard" if is_heard else "nothing said"
            print(f"{likes} likes, {said}: {had['theme']} on the themes, {had['others']} others")


if __name__ == "__main__":
    main()
