"""How a reader steers her digest: what she says of papers, and what was learned from it."""

from contextlib import contextmanager

from django.db import transaction
from django.db.models import F

from digest.models import Feedback, LibraryPaper, Paper, ReaderModel
from subscriptions.models import Subscriber

BATCH = 200  # So many readers are learned of at once.
REMEMBERED = 300  # So many of the latest papers of a reader are learned from.
SHOWN = 30  # So many words are shown,
AGAINST = 8  # and among them so many at most that count against a paper.


def say(subscriber, paper, value: str, now) -> None:
    """Write down what she says of a paper; "clear" takes it back. Said twice is said once.

    Raises Subscriber.DoesNotExist where she was erased meanwhile.
    """
    with transaction.atomic():
        subscriber.locked()
        feedback = Feedback.objects.filter(subscriber=subscriber, paper=paper)
        if value == "clear":
            changed, _ = feedback.delete()
        else:
            changed = not feedback.filter(value=value).exists()
            if changed:
                Feedback.objects.update_or_create(
                    subscriber=subscriber, paper=paper, defaults={"value": value, "at": now}
                )
        if changed:
            ask_to_learn(subscriber)


def said(subscriber, paper) -> str:
    """Return what she has said of a paper, or nothing."""
    found = Feedback.objects.filter(subscriber=subscriber, paper=paper)
    return found.values_list("value", flat=True).first() or ""


def saved(subscriber):
    """Return what she saved, the latest first: her words, each with its paper."""
    words = Feedback.objects.filter(subscriber=subscriber, value=Feedback.Value.SAVE)
    return words.select_related("paper").order_by("-at", "-pk")


def known_to(subscriber) -> set[str]:
    """Return the ids of the papers of which she said something, and of those in her library."""
    spoken_of = subscriber.feedback.values_list("paper_id", flat=True)
    return {*spoken_of, *subscriber.library.values_list("identity", flat=True)}


def ask_to_learn(subscriber) -> None:
    """Have her model fitted anew soon, or as soon as she wants one."""
    ReaderModel.objects.update_or_create(
        subscriber=subscriber, defaults={"said": F("said") + 1}, create_defaults={"said": 1}
    )


def set_learning(subscriber, wanted: bool) -> None:
    """Learn from what she says, or forget what was learned and learn no more.

    What she said stays hers: saved papers are saved, words that she took out are out, and from both
    it is learned again if she wishes.
    """
    if subscriber.learns == wanted:
        return
    with transaction.atomic():
        Subscriber.objects.filter(pk=subscriber.pk).update(learns=wanted)
        subscriber.learns = wanted
        ReaderModel.objects.filter(subscriber=subscriber).update(
            # Switched on, all is learned anew; a fit that is under way stores nothing.
            said=F("said") + 1,
            terms=[],
            words=[],
            weights=[],
            liked=0,
            floor=None,
            fitted_at=None,
            learned=0,
        )


def learned_words(subscriber) -> list[dict]:
    """Return what was learned, in the order to tell it: each word with one of its terms, and its
    weight.
    """
    row = ReaderModel.objects.filter(subscriber=subscriber).first()
    if row is None:
        return []
    said = {}  # Several terms that are written as one, as "voice conversion", are told once.
    for term, word, weight in zip(row.terms, row.words, row.weights, strict=True):
        said.setdefault(word, {"term": term, "word": word, "weight": weight})
    words = list(said.values())
    # Those against weigh less: among all, she would not see that "less" was heard.
    hers = [word for word in words if word["weight"] >= 0]
    against = [word for word in words if word["weight"] < 0][: max(AGAINST, SHOWN - len(hers))]
    return hers[: SHOWN - len(against)] + against


def removed_words(subscriber) -> list[dict]:
    """Return what she took out: each with its term and word."""
    row = ReaderModel.objects.filter(subscriber=subscriber).first()
    removed = row.removed if row else {}
    return [
        {"term": term, "word": word} for word, term in {w: t for t, w in removed.items()}.items()
    ]


def remove_word(subscriber, term: str) -> None:
    """Take a term, and those that are written as one with it, out of what was learned, at once and
    for good. Another one changes nothing.
    """
    with _locked(subscriber) as row:
        if row is None or term not in row.terms:
            return
        word = row.words[row.terms.index(term)]
        rows = list(zip(row.terms, row.words, row.weights, strict=True))
        row.removed |= {one: said for one, said, _ in rows if said == word}
        kept = [one for one in rows if one[1] != word]
        row.terms, row.words, row.weights = ([one[n] for one in kept] for n in range(3))
        row.said += 1
        row.save()


def restore_word(subscriber, term: str) -> None:
    """Let a term be learned again that was taken out. Another one changes nothing."""
    with _locked(subscriber) as row:
        if row is None or term not in row.removed:
            return
        word = row.removed[term]
        row.removed = {one: said for one, said in row.removed.items() if said != word}
        row.said += 1
        row.save()


@contextmanager
def _locked(subscriber):
    with transaction.atomic():
        yield ReaderModel.objects.select_for_update().filter(subscriber=subscriber).first()


def learn(now) -> int:
    """Fit the models of readers who said something, or whose model is old. Return how many.

    One that was asked for again meanwhile stays outdated, and is fitted in the next pass.
    """
    count = 0
    while rows := list(ReaderModel.objects.outdated(now).order_by("pk")[:BATCH]):
        fitted = _fit(rows, now)
        if not fitted:
            break
        count += fitted
    return count


def _fit(rows, now):
    from digest.indexing import model_store  # The model and numpy, which only workers pay.
    from digest.ranking import relevance_feedback

    model = model_store.current(now)
    spoken = _feedback([row.subscriber_id for row in rows])
    papers = Paper.objects.filter(pk__in={paper for said in spoken.values() for paper, _ in said})
    told = papers.values_list("pk", "title", "abstract")
    texts = {pk: model_store.document(title, abstract) for pk, title, abstract in told}
    fitted = 0
    for row in rows:
        said = spoken.get(row.subscriber_id, [])
        said = [(texts[paper], value) for paper, value in said if paper in texts]
        disliked = [text for text, value in said if value == Feedback.Value.LESS]
        liked = [text for text, value in said if value != Feedback.Value.LESS]
        # All readers' at once would be very many.
        known = LibraryPaper.objects.filter(subscriber=row.subscriber_id)
        library = [model_store.document(*said) for said in known.values_list("title", "abstract")]
        learned = relevance_feedback.learn(model, liked, disliked, list(row.removed), library)
        # Not where she said more since the rows were read: that is outdated still.
        fitted += ReaderModel.objects.filter(pk=row.pk, said=row.said).update(
            learned=row.said,
            fitted_at=now,
            terms=list(learned.terms),
            words=relevance_feedback.written(model, learned.terms),
            weights=list(learned.weights),
            liked=learned.liked,
            floor=learned.floor if learned.floor < 1e9 else None,
        )
    return fitted


def _feedback(subscriber_ids):
    """Return what each said lately: subscriber -> [(paper, value)]."""
    spoken: dict[int, list] = {}
    rows = Feedback.objects.filter(subscriber__in=subscriber_ids).order_by("-at", "-pk")
    for subscriber_id, paper, value in rows.values_list("subscriber_id", "paper_id", "value"):
        said = spoken.setdefault(subscriber_id, [])
        if len(said) < REMEMBERED:
            said.append((paper, value))
    return spoken
