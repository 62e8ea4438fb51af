"""A subscriber's feedback on papers, and what is learned from it."""

from math import log10

from django.db import transaction
from django.db.models import F

from digest.models import Feedback, LibraryPaper, Paper, ReaderModel
from digest.papers import summaries
from subscriptions.models import Subscriber

BATCH = 200  # Subscribers whose models are fitted together.
MAX_LEARNED = 300  # The latest papers of a subscriber that are learned from.
MAX_WORDS = 30  # Learned words on a page.
MIN_NEGATIVE_WORDS = 8  # Of these, reserved for words with a negative weight.


#: What may be said of a paper. "neutral" ends the opinion, "unsave" takes the paper off the reading
#: list, and "clear" does both.
VALUES = (*Feedback.Value, "neutral", "unsave", "clear")


def apply_value(value: str, opinion: str, saved_since, now) -> tuple:
    """Return the opinion and when the paper was saved, after one of VALUES."""
    match value:
        case "more" | "less":
            return value, saved_since
        case "save":
            return opinion, saved_since or now
        case "neutral":
            return "", saved_since
        case "unsave":
            return opinion, None
        case _:
            return "", None


def record(subscriber, paper, value: str, now) -> None:
    """Store one of VALUES. The same value twice changes nothing.

    Raises Subscriber.DoesNotExist if the subscriber was erased meanwhile.
    """
    with transaction.atomic():
        subscriber.locked()
        row = feedback_on(subscriber, paper)
        old_state = (row.opinion, row.saved_since) if row else ("", None)
        opinion, saved_since = apply_value(value, *old_state, now)
        if (opinion, saved_since) == old_state:
            return
        if not opinion and not saved_since:
            row.delete()
        else:
            row = row or Feedback(subscriber=subscriber, paper=paper, at=now)
            row.value, row.saved_at = opinion or Feedback.Value.SAVE, saved_since
            if opinion != old_state[0]:
                row.at = now
            if not saved_since:
                row.read_at, row.note, row.labels = None, "", ""
            row.save()
        request_learning(subscriber)


def feedback_on(subscriber, paper) -> Feedback | None:
    return Feedback.objects.filter(subscriber=subscriber, paper=paper).first()


def attach(subscriber, picks) -> list:
    """Give each pick its `feedback`, or None, and its paper the summary. Return the picks."""
    rows = subscriber.feedback.filter(paper__in=[pick.paper_id for pick in picks])
    feedback_by_paper = {row.paper_id: row for row in rows}
    for pick in picks:
        pick.feedback = feedback_by_paper.get(pick.paper_id)
    summaries.attach([pick.paper for pick in picks], subscriber.summary_language)
    return list(picks)


def known_paper_ids(subscriber) -> set[str]:
    """Return the ids of the papers with feedback, and of those in the library."""
    with_feedback = subscriber.feedback.values_list("paper_id", flat=True)
    return {*with_feedback, *subscriber.library.values_list("identity", flat=True)}


def request_learning(subscriber) -> None:
    """Mark the preference model as outdated."""
    ReaderModel.objects.update_or_create(
        subscriber=subscriber,
        defaults={"feedback_count": F("feedback_count") + 1},
        create_defaults={"feedback_count": 1},
    )


def set_learning(subscriber, learns: bool) -> None:
    """Switch learning from feedback on or off. Either deletes what was learned.

    The feedback and the removed words stay, and count again when learning is switched on.
    """
    if subscriber.learns == learns:
        return
    with transaction.atomic():
        Subscriber.objects.filter(pk=subscriber.pk).update(learns=learns)
        subscriber.learns = learns
        fields = {"terms": [], "words": [], "weights": [], "liked": 0, "fitted_at": None}
        # A fit that is under way stores nothing, since `feedback_count` differs.
        fields |= {"feedback_count": F("feedback_count") + 1, "fitted_count": 0}
        ReaderModel.objects.filter(subscriber=subscriber).update(**fields)


def learned_words(subscriber) -> list[dict]:
    """Return the learned words to show, in order, each with one of its terms and a weight."""
    row = ReaderModel.objects.filter(subscriber=subscriber).first()
    if row is None:
        return []
    by_word = {}  # Several terms may have one word, such as "voice conversion".
    for term, word, weight in zip(row.terms, row.words, row.weights, strict=True):
        by_word.setdefault(word, {"term": term, "word": word, "weight": weight})
    positive_words = [word for word in by_word.values() if word["weight"] >= 0]
    negative_words = [word for word in by_word.values() if word["weight"] < 0]
    # Negative words weigh less: without reserved places, "less" would seem to have no effect.
    negative_words = negative_words[: max(MIN_NEGATIVE_WORDS, MAX_WORDS - len(positive_words))]
    return positive_words[: MAX_WORDS - len(negative_words)] + negative_words


def removed_words(subscriber) -> list[dict]:
    """Return the words that the subscriber removed, each with one of its terms."""
    row = ReaderModel.objects.filter(subscriber=subscriber).first()
    terms = {word: term for term, word in row.removed.items()} if row else {}
    return [{"term": term, "word": word} for word, term in terms.items()]


@transaction.atomic
def remove_word(subscriber, term: str) -> None:
    """Remove a learned term, with all terms of the same word, for good. Ignores other terms."""
    row = _locked(subscriber)
    if row is None or term not in row.terms:
        return
    word = row.words[row.terms.index(term)]
    rows = list(zip(row.terms, row.words, row.weights, strict=True))
    row.removed |= {term: word for term, row_word, _ in rows if row_word == word}
    kept_rows = [cells for cells in rows if cells[1] != word]
    row.terms, row.words, row.weights = ([cells[n] for cells in kept_rows] for n in range(3))
    row.feedback_count += 1
    row.save()


@transaction.atomic
def restore_word(subscriber, term: str) -> None:
    """Allow a removed term, with all terms of the same word, to be learned. Ignores other terms."""
    row = _locked(subscriber)
    if row is None or term not in row.removed:
        return
    word = row.removed[term]
    row.removed = {key: value for key, value in row.removed.items() if value != word}
    row.feedback_count += 1
    row.save()


def _locked(subscriber):
    return ReaderModel.objects.select_for_update().filter(subscriber=subscriber).first()


def learn(now) -> int:
    """Fit the outdated preference models. Return how many.

    A model with new feedback meanwhile stays outdated, and is fitted in the next run.
    """
    count = 0
    while rows := list(ReaderModel.objects.outdated(now).order_by("pk")[:BATCH]):
        fitted = _fit(rows, now)
        if not fitted:
            break
        count += fitted
    return count


def _fit(rows, now):
    from digest.indexing import model_store  # The model and numpy, which only workers import.
    from digest.personalization import spelling
    from digest.ranking import relevance_feedback

    model = model_store.current(now)
    feedback = _latest_feedback([row.subscriber_id for row in rows])
    paper_ids = {paper for values in feedback.values() for paper, _ in values}
    papers = Paper.objects.filter(pk__in=paper_ids).values_list("pk", "title", "abstract")
    texts = {pk: model_store.document(title, abstract) for pk, title, abstract in papers}
    fitted = 0
    for row in rows:
        values = feedback.get(row.subscriber_id, [])
        values = [(texts[paper], value) for paper, value in values if paper in texts]
        disliked_texts = [text for text, value in values if value == Feedback.Value.LESS]
        liked_texts = [text for text, value in values if value != Feedback.Value.LESS]
        # One library at a time, to bound memory.
        papers = list(LibraryPaper.objects.filter(subscriber=row.subscriber_id))
        library_texts = [model_store.document(paper.title, paper.abstract) for paper in papers]
        # Of Zotero's papers, the latest count most: 1 / (1 + log10 n) for the n-th, the formula of
        # https://github.com/TideDra/zotero-arxiv-daily.
        zotero_papers = [paper for paper in papers if paper.zotero_key]
        zotero_papers.sort(key=lambda paper: paper.at, reverse=True)
        ranks = {paper.pk: rank for rank, paper in enumerate(zotero_papers, 1)}
        library_weights = [1 / (1 + log10(ranks.get(paper.pk, 1))) for paper in papers]
        learned = relevance_feedback.learn(
            model, liked_texts, disliked_texts, list(row.removed), library_texts, library_weights
        )
        # Not if there is more feedback since the rows were read.
        fitted += ReaderModel.objects.filter(pk=row.pk, feedback_count=row.feedback_count).update(
            fitted_count=row.feedback_count,
            fitted_at=now,
            terms=list(learned.terms),
            words=spelling.spellings(model, learned.terms),
            weights=list(learned.weights),
            liked=learned.liked,
        )
    return fitted


def _latest_feedback(subscriber_ids):
    """Return the latest feedback: subscriber -> [(paper, value)]."""
    feedback: dict[int, list] = {}
    rows = Feedback.objects.filter(subscriber__in=subscriber_ids).order_by("-at", "-pk")
    for subscriber_id, paper, value in rows.values_list("subscriber_id", "paper_id", "value"):
        values = feedback.setdefault(subscriber_id, [])
        if len(values) < MAX_LEARNED:
            values.append((paper, value))
    return feedback
