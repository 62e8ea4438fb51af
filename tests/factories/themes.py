"""Papers of two themes within one topic, and on other things, for tests of feedback."""

from pathlib import Path

from tests.factories import make

MOLECULES, ROADS, OTHERS = (
    Path(__file__).with_name(f"{name}.txt").read_text().splitlines()
    for name in ("molecules", "roads", "others")
)


def theme(said, first, count, **fields):
    """Make papers on graph neural networks of a theme. Any two of its thirteen share a sentence."""
    return [
        make.paper(
            f"Graph neural networks: {said[n].lower()}",
            f"We train graph neural networks. {said[(n + 1) % 13]}. {said[(n + 3) % 13]}. "
            f"{said[(n + 9) % 13]}.",
            **fields,
        )
        for n in range(first, first + count)
    ]


def others(count=4, **fields):
    """Make papers about other things, `count` on each. Any two share a few words at most."""
    for line in OTHERS:
        subject, _, words = line.partition(": ")
        w = words.split()
        for n in range(count):
            a, b, c, d = (w[(n + step) % 8] for step in (0, 1, 3, 6))
            make.paper(
                f"On {subject}: {a} and {b}",
                f"The {a} depends on the {b}, and we measure the {c} of a {d}.",
                **fields,
            )
