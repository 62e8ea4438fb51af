"""A subscriber's feedback on papers, and what is learned from it."""

from math import log10

from django.db import transaction
from django.db.models import F

from digest.models import (
    Feedback,
    LibraryPaper,
    LibraryUpload,
    Paper,
    ReaderModel,
    ZoteroLibrary,
)
from digest.papers import summaries
from subscriptions.models import Subscriber

BATCH = 200  # Subscribers whose models are fitted together.
MAX_LEARNED = 300  # The latest papers of a subscriber that are learned from.
MAX_WORDS = 30  # Learned words on a page.
MIN_NEGATIVE_WORDS = 8  # Of these, reserved for words with a negative weight.


#: What may be said of a paper. "neutral" ends the opinion, "unsave" takes the paper off the reading
#: list, and "clear" does both.
VALUES = (*Feedback.Value, "neutral", "unsave", "clear")


def apply_value(value: str, opinion: str, saved_at, now) -> tuple:
    """Return the opinion and when the paper was saved, after one of VALUES."""
    match value:
        case "more" | "less":
            return value, saved_at
        case "save":
            return opinion, saved_at or now
        case "neutral":
            return "", saved_at
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
        old_state = (row.opinion, row.saved_at) if row else ("", None)
        opinion, saved_at = apply_value(value, *old_state, now)
        if (opinion, saved_at) == old_state:
            return
        if not opinion and not saved_at:
            row.delete()
        else:
            row = row or Feedback(subscriber=subscriber, paper=paper, at=now)
            row.value, row.saved_at = opinion or Feedback.Value.SAVE, saved_at
            if opinion != old_state[0]:
                row.at = now
            if not saved_at:
                row.read_at, row.note, row.labels = None, "", ""
            row.save()
        request_learning(subscriber)


def feedback_on(subscriber, paper) -> Feedback | None:
    return Feedback.objects.filter(subscriber=subscriber, paper=paper).first()


def attach(subscriber, picks) -> list:
    """Set the `feedback` of each pick, or None, and the summary of its paper. Return the picks."""
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
    update, creation = {"feedback_count": F("feedback_count") + 1}, {"feedback_count": 1}
    ReaderModel.objects.update_or_create(update, creation, subscriber=subscriber)


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
    model = ReaderModel.objects.filter(subscriber=subscriber).first()
    if model is None:
        return []
    words = {}  # Several terms may have one word, such as "voice conversion".
    for term, word, weight in zip(model.terms, model.words, model.weights, strict=True):
        words.setdefault(word, {"term": term, "word": word, "weight": weight})
    positive_words = [word for word in words.values() if word["weight"] >= 0]
    negative_words = [word for word in words.values() if word["weight"] < 0]
    # Negative words weigh less: without reserved places, "less" would seem to have no effect.
    negative_words = negative_words[: max(MIN_NEGATIVE_WORDS, MAX_WORDS - len(positive_words))]
    return positive_words[: MAX_WORDS - len(negative_words)] + negative_words


def removed_words(subscriber) -> list[dict]:
    """Return the words that the subscriber removed, each with one of its terms."""
    model = ReaderModel.objects.filter(subscriber=subscriber).first()
    terms = {word: term for term, word in model.removed.items()} if model else {}
    return [{"term": term, "word": word} for word, term in terms.items()]


@transaction.atomic
def remove_word(subscriber, term: str) -> None:
    """Remove a learned term, with all terms of the same word, for good. Ignores other terms."""
    model = _locked_model(subscriber)
    if model is None or term not in model.terms:
        return
    word = model.words[model.terms.index(term)]
    learned = list(zip(model.terms, model.words, model.weights, strict=True))
    model.removed |= {term: word for term, learned_word, _ in learned if learned_word == word}
    kept = [values for values in learned if values[1] != word]
    model.terms, model.words, model.weights = ([values[n] for values in kept] for n in range(3))
    model.feedback_count += 1
    model.save()


@transaction.atomic
def restore_word(subscriber, term: str) -> None:
    """Allow a removed term, with all terms of the same word, to be learned. Ignores other terms."""
    model = _locked_model(subscriber)
    if model is None or term not in model.removed:
        return
    word = model.removed[term]
    model.removed = {key: value for key, value in model.removed.items() if value != word}
    model.feedback_count += 1
    model.save()


def _locked_model(subscriber):
    return ReaderModel.objects.select_for_update().filter(subscriber=subscriber).first()


def learn(now) -> int:
    """Fit the outdated preference models. Return how many.

    A model with new feedback meanwhile stays outdated, and is fitted in the next run.
    """
    count = 0
    while models := list(ReaderModel.objects.outdated(now).order_by("pk")[:BATCH]):
        fitted = _fit(models, now)
        if not fitted:
            break
        count += fitted
    return count


def _fit(models, now):
    from digest.indexing import model_store  # The model and numpy, which only workers import.
    from digest.personalization import spelling
    from digest.ranking import relevance_feedback

    tfidf_model = model_store.current(now)
    feedback_by_subscriber = _latest_feedback([model.subscriber_id for model in models])
    paper_ids = {paper for pairs in feedback_by_subscriber.values() for paper, _ in pairs}
    papers = Paper.objects.filter(pk__in=paper_ids).values_list("pk", "title", "abstract")
    texts = {pk: model_store.document(title, abstract) for pk, title, abstract in papers}
    fitted = 0
    for model in models:
        pairs = feedback_by_subscriber.get(model.subscriber_id, [])
        pairs = [(texts[paper], value) for paper, value in pairs if paper in texts]
        disliked_texts = [text for text, value in pairs if value == Feedback.Value.LESS]
        liked_texts = [text for text, value in pairs if value != Feedback.Value.LESS]
        # One library at a time, to bound memory.
        library = list(LibraryPaper.objects.filter(subscriber=model.subscriber_id))
        library_texts = [model_store.document(paper.title, paper.abstract) for paper in library]
        # Of Zotero's papers, the latest count most: 1 / (1 + log10 n) for the n-th, the formula of
        # https://github.com/TideDra/zotero-arxiv-daily.
        zotero_papers = [paper for paper in library if paper.zotero_key]
        zotero_papers.sort(key=lambda paper: paper.at, reverse=True)
        ranks = {paper.pk: rank for rank, paper in enumerate(zotero_papers, 1)}
        library_weights = [1 / (1 + log10(ranks.get(paper.pk, 1))) for paper in library]
        learned = relevance_feedback.learn(
            *(tfidf_model, liked_texts, disliked_texts, [*model.removed]),
            *(library_texts, library_weights),
        )
        # Not if there is more feedback since the rows were read.
        rows = ReaderModel.objects.filter(pk=model.pk, feedback_count=model.feedback_count)
        fitted += rows.update(
            fitted_count=model.feedback_count,
            fitted_at=now,
            terms=list(learned.terms),
            words=spelling.spellings(tfidf_model, learned.terms),
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


def reset(subscriber: Subscriber) -> None:
    """Delete the feedback and the library, and what was learned from them."""
    with transaction.atomic():
        subscriber.feedback.all().delete()
        subscriber.library.all().delete()
        for model in (LibraryUpload, ZoteroLibrary, ReaderModel):
            model.objects.filter(subscriber=subscriber).delete()
