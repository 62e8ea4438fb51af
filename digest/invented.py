"""Papers that nobody wrote, and letters made of them: all that is hard to print, in one place.

For developers to look at (digest.gallery). Nothing here is stored, and nothing is asked of the
database but which papers it has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import F
from django.utils import translation

from digest import composing, specimens, wording
from digest.composing import Material
from digest.models import Digest, Paper, PaperEvent, Pick
from digest.specimens import NOBODY, Specimen
from subscriptions import mail, schedule
from subscriptions.models import Subscriber

MOST = 50  # Papers of one digest.
TOPICS = ["Graph learning", "Sparse attention & long documents", "Molecules and <proteins>"]
LONG_WORD = "deoxyribonucleotidyl" * 9
SUMMARY = (
    "Sparse graphs are common, and most methods treat them as if they were dense. This paper shows "
    "that counting walks of length three is enough to tell apart what a deep network tells apart, "
    "for all graphs whose degree is bounded. The proof is short, and an experiment on nine public "
    "collections agrees with it. Where degrees grow, walks of length three fail, and the paper "
    "says by how much."
)


@dataclass(frozen=True)
class Sample:
    """A letter of the gallery: what it is called, what to look for, and who writes it."""

    title: str
    note: str
    write: Callable[[Subscriber, datetime], mail.Content]
    kind: str = "digest"


def reader(language: str, now) -> Subscriber:
    """Return who gets the letters."""
    return Subscriber(
        email="reader@paperboy.example",
        public_id=NOBODY,
        language=language,
        timezone="Europe/Berlin",
        asked_at=now - timedelta(days=40),
        confirmed_at=now - timedelta(days=40),
    )


def samples() -> dict[str, Sample]:
    """Return the letters by their names, in the order of a reader's life."""
    found = dict(SAMPLES)
    if not Paper.objects.exists():
        del found["papers-here"]
    return found


def written(name: str, language: str, now) -> Specimen:
    """Return the letter of this name in this language."""
    subscriber = reader(language, now)
    sample = SAMPLES[name]
    return specimens.specimen(name, sample.kind, sample.write(subscriber, now), subscriber, now)


# ---- The letters


def _notice(name):
    def write(subscriber, now):
        return specimens.written(name, subscriber, now).content

    return write


def _digest(make_picks, **parts):
    """Return who writes a digest of these picks."""

    def write(subscriber, now):
        day = schedule.local_day(now, subscriber.zone)
        digest = Digest(subscriber=subscriber, day=day, public_id=NOBODY, considered=1043)
        picks = make_picks(digest)
        return composing.content(Material(digest, picks=picks, **{"topics": TOPICS} | parts))

    return write


def _after_a_pause(subscriber, now):
    """A digest of one who had none for twelve days."""
    day = schedule.local_day(now, subscriber.zone)
    digest = Digest(subscriber=subscriber, day=day, public_id=NOBODY, considered=4210)
    digest.since = day - timedelta(days=12)
    return composing.content(Material(digest, picks=_few(digest), topics=TOPICS))


def _with_news(subscriber, now):
    """A digest with news of saved papers, and the receipt of arXiv's list."""
    day = schedule.local_day(now, subscriber.zone)
    digest = Digest(subscriber=subscriber, day=day, public_id=NOBODY, considered=1043)
    digest.receipt = {
        "day": day.isoformat(),
        "announced": 1058,
        "had": 1043,
        "is_verified": False,
    }
    with translation.override(subscriber.letter_language):
        news = [wording.told(event) for event in _events()]
    return composing.content(Material(digest, picks=_few(digest), topics=TOPICS, news=news))


def _test(subscriber, now):
    with translation.override(subscriber.letter_language):
        return mail.render("test", {})


# ---- Their papers


def _hard(digest) -> list[Pick]:
    """Return picks of papers that are hard to print, in all groups."""
    return [_pick(digest, place, **one) for place, one in enumerate(_hard_papers(), start=1)]


def _few(digest):
    return _hard(digest)[:3]


def _popular(digest):
    papers = [one for one in _hard_papers() if one["basis"] in ("trend", "new")]
    return [_pick(digest, place, **one) for place, one in enumerate(papers, start=1)]


def _none(digest):
    return []


def _most(digest):
    """Return as many picks as a digest may have, with long titles and abstracts."""
    paper = {"abstract": SUMMARY * 4, "authors": _authors(3), "categories": ["cs.LG", "stat.ML"]}
    return [
        _pick(
            digest,
            place,
            title=f"Walks of length {place} on sparse graphs, and what networks see of them",
            basis="topic",
            topic="Graph learning",
            terms=["graphs", "sparse", "walks"],
            **paper,
        )
        for place in range(1, MOST + 1)
    ]


def _of_the_database(digest):
    """Return picks of the newest papers here, those with most votes first."""
    papers = Paper.objects.order_by("-day", F("upvotes").desc(nulls_last=True), "pk")[:10]
    picks = [
        Pick(digest=digest, paper=paper, basis="trend" if paper.upvotes else "new")
        for paper in sorted(papers, key=lambda paper: -(paper.upvotes or 0))
    ]
    for place, pick in enumerate(picks, start=1):
        pick.position, pick.would_fold = place, []
    return picks


def _pick(digest, place, *, basis, topic="", terms=(), relatives=(), stars=None, **fields):
    paper = _paper(f"2606.{place:05}", **fields)
    paper.stars = stars
    pick = Pick(
        digest=digest,
        paper=paper,
        position=place,
        basis=basis,
        topic_name=topic,
        terms=list(terms),
    )
    pick.would_fold = [
        _paper(f"2606.{place}{number:04}", title=title)
        for number, title in enumerate(relatives, start=1)
    ]
    return pick


def _paper(number, **fields):
    return Paper(**{"id": number, "day": date(2026, 6, 1), "categories": ["cs.LG"]} | fields)


def _authors(count: int) -> list[str]:
    return [f"Author {letter}." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:count]]


def _hard_papers() -> Sequence[dict]:
    return [
        {
            "title": "∇·(σ∇u) = 0 in ℝⁿ∖{0}: ‖u‖∞ ≤ C·ε⁻¹ᐟ² as λ → ∞, where σ ∈ W¹,ᵖ and p > n/2",
            "abstract": "Let Ω ⊂ ℝⁿ be open, u ∈ H¹(Ω) and ∫|∇u|² dx < ∞. Then u is Hölder "
            "continuous for every α < 1 − n/p. " + SUMMARY,
            "authors": _authors(3),
            "categories": ["math.AP", "math-ph", "cs.NA", "stat.ML", "cs.LG"],
            "basis": "topic",
            "topic": "Graph learning",
            "terms": ["sparse", "graphs", "walks"],
            "upvotes": 41,
            "github": "https://github.com/example/a-repository-with-a-long-name-of-its-own",
            "stars": 12345,
        },
        {
            "title": "רשתות נוירונים לגרפים דלילים: סקירה (GNN, 2026)",
            "abstract": "סקירה של שיטות לגרפים דלילים, עם 9 אוספים ציבוריים ומסקנה אחת.",
            "authors": ["א. מחבר", "ב. מחברת", "Author C."],
            "basis": "topic",
            "topic": "למידה על גרפים",
            "terms": ["גרפים"],
        },
        {
            "title": "تعلم التمثيلات من بيانات قليلة",
            "abstract": "",
            "authors": ["مؤلف أول"],
            "basis": "learned",
            "terms": ["representations", "few-shot"],
        },
        {
            "title": "稀疏图上的扩散模型：当边很少时，长度为三的游走就足够了吗？"
            "一个简短的证明和九个数据集",
            "abstract": "大多数方法把稀疏图当作稠密图处理。本文说明，长度为三的游走已经足够。" * 4,
            "authors": ["作者甲", "作者乙"],
            "basis": "topic",
            "topic": "Sparse attention & long documents",
            "terms": ["扩散"],
        },
        {
            "title": f"{LONG_WORD}: one word, and no place to break it",
            "abstract": f"{LONG_WORD} {SUMMARY}",
            "authors": ["A" * 90, "Author B."],
            "basis": "topic",
            "topic": "Molecules and <proteins>",
            "terms": [LONG_WORD[:60]],
            "id": "biorxiv:10.1101/2026.06.01.000001",
            "url": f"https://papers.example/{'a-very-long-path/' * 12}",
            "categories": [],
        },
        {
            "title": "Two collections of walks, and which of them a network sees",
            "abstract": SUMMARY,
            "authors": _authors(26),
            "basis": "topic",
            "topic": "Graph learning",
            "terms": ["walks"],
            "relatives": [
                "The same walks, counted again",
                "Walks & <b>bold</b> claims: שלום",
                "Walks of length four, which the first paper said nobody needs, and why it was "
                "wrong for all graphs whose degrees grow",
                "A fourth one, that has no room",
            ],
            "is_sample": True,
        },
        {
            "title": "🦠 → 💊? What a model of molecules 🧪 doesn’t know 👩🏽‍🔬",
            "abstract": "Models guess 🤷. This one says when. " + SUMMARY,
            "authors": _authors(2),
            "basis": "second",
            "topic": "Molecules and <proteins>",
            "upvotes": 87,
        },
        {
            "title": "<script>alert(1)</script> & “quotes”, 'apostrophes', 1. numbers, "
            "-- dashes: a paper on escaping",
            "abstract": "5 < 6 & 7 > 6; <b>not bold</b>; &amp; stays. " + SUMMARY,
            "authors": ["O’Author", 'Author "B" <b@papers.example>'],
            "basis": "trend",
            "upvotes": 1043,
            "categories": ["cs.CR"],
        },
        {
            "title": "Untitled",
            "abstract": "",
            "authors": [],
            "basis": "trend",
            "upvotes": 1,
            "categories": [],
        },
        {
            "title": "A paper without an address",
            "abstract": SUMMARY,
            "authors": _authors(1),
            "basis": "new",
            "id": "list:0001",
            "categories": ["hep-th"],
        },
    ]


def _events() -> list[PaperEvent]:
    saved = _hard(None)
    told = [
        (0, "revised", "version 2"),
        (1, "published", "Journal of Sparse Graphs 12 (2026) 1–40"),
        (4, "code", "https://github.com/example/walks"),
        (7, "withdrawn", ""),
    ]
    return [
        PaperEvent(paper=saved[place].paper, kind=kind, note=note) for place, kind, note in told
    ]


SAMPLES = {
    "confirm": Sample(
        "Confirm", "Asks whether the address is hers.", _notice("confirm"), "confirm"
    ),
    "already": Sample(
        "Confirm, to one who is signed up",
        "Says that nothing has changed.",
        _notice("already"),
        "confirm",
    ),
    "welcome": Sample(
        "Welcome",
        "The first letter, where there is nothing to send.",
        _digest(_none, kind="welcome"),
        "welcome",
    ),
    "welcome-open": Sample(
        "Welcome, no topic",
        "She follows nothing yet.",
        _digest(_none, kind="welcome", topics=[]),
        "welcome",
    ),
    "first": Sample("First digest", "Greets her, and is short.", _digest(_few, is_first=True)),
    "digest": Sample(
        "Digest",
        "All that is hard to print: mathematics, right to left, emoji, a word without end, many "
        "authors and none, no abstract, no address, folded papers, stars and code.",
        _digest(_hard),
    ),
    "caught-up": Sample("Digest after a pause", "Says since when none came.", _after_a_pause),
    "news": Sample(
        "Digest with news", "Of papers she saved, and what arXiv announced.", _with_news
    ),
    "open": Sample("Digest, no topic", "She follows nothing yet.", _digest(_popular, topics=[])),
    "full": Sample(
        "Full digest", f"{MOST} papers, in the tightest form that fits.", _digest(_most)
    ),
    "papers-here": Sample(
        "Digest of the papers here", "The newest of this database.", _digest(_of_the_database)
    ),
    "quiet": Sample("Quiet day", "A digest without papers.", _digest(_none)),
    "quiet-open": Sample(
        "Quiet day, no topic", "She follows nothing yet.", _digest(_none, topics=[])
    ),
    "bounced": Sample(
        "Letters came back", "Asks whether her address is right.", _notice("bounced"), "bounced"
    ),
    "goodbye": Sample(
        "Goodbye", "The last letter, which can be undone.", _notice("goodbye"), "goodbye"
    ),
    "link": Sample(
        "Lost link", "Has the link to her preferences, for who asked.", _notice("link"), "link"
    ),
    "move-old": Sample(
        "Move, to the old address", "Says where to, and asks.", _notice("move-old"), "move"
    ),
    "move-new": Sample(
        "Move, to the new address",
        "Asks, and doesn’t say from where: it may be a stranger’s.",
        _notice("move-new"),
        "move",
    ),
    "test": Sample("Test letter", "What the doctor sends.", _test, "test"),
}
