"""What was left lying: leases that ran out, letters that are too late, letters of unknown fate.

Past the fence, no answer means that nobody knows. Such a letter is held until the mail server has
surely ended the conversation, then asked for: the journal tells what was accepted before a crash,
an oracle (lookup.py) what the mail server has of it, and whatever came back of it that it left.
Where it arrived, that is its end; where it didn't, it is sent again; where nobody can say, it is
sent once more with the same bytes and Message-ID, and after a second silence ends as failed, its
picks kept.
"""

import logging
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import batched

from django.conf import settings
from django.db import DataError, Error, IntegrityError, transaction
from django.db.models import Min, QuerySet

from subscriptions.delivery import circuit_breaker, letter_sql, message_ids, transitions
from subscriptions.delivery.recovery import journal, lookup
from subscriptions.delivery.recovery.journal import folder_of_journals
from subscriptions.delivery.transitions import Overtaken
from subscriptions.models import Letter, delivery

logger = logging.getLogger(__name__)

HOLD = timedelta(minutes=15)  # Longer than servers keep a silent connection open.
CHUNK = 500
MOST = 20  # Chunks of one kind in one sweep: the next comes in a minute.
FORGOTTEN = "the database had forgotten that it left"

State = Letter.State


def sweep(now) -> None:
    """Take up what was left lying. May be run at any time, and by two at once.

    The journals come first, and where they can't be replayed, nothing else is done: what is known
    to have been accepted must be neither doubted nor sent again. What is too late is not closed
    while sending is stopped: where a backup was restored, it may have left.
    """
    there = Letter.objects.open().exclude(pk__in=_replay_journals(now))
    if not circuit_breaker.is_stopped():
        late = there.filter(closes_at__lte=now)
        _each_chunk(late.filter(state=State.PLANNED), _miss, now)
        _each_chunk(late.filter(state=State.CLAIMED, lease_until__lte=now), _miss, now)
    expired = there.filter(lease_until__lte=now)
    _each_chunk(expired.filter(state=State.CLAIMED), partial(_each, transitions.stumble), now)
    silent = expired.filter(state=State.TRANSMITTING)
    _each_chunk(silent, partial(_each, partial(doubt, note="no answer")), now)
    waited = there.filter(state=State.UNCERTAIN, next_try_at__lte=now).select_related("subscriber")
    _each_chunk(waited, partial(_after_hold, noted=_noted(waited)), now)
    transitions.drop_volleys()


def doubt(letter: Letter, now, *, note: str, **facts) -> None:
    """Hold a letter of which nobody knows whether it arrived. Raises Overtaken."""
    if not transitions.move(
        [letter], State.UNCERTAIN, now, note=note, next_try_at=now + HOLD, **facts
    ):
        raise Overtaken


def accept_late(letter_id: int, attempt: int, message_id: str, reply: str, now) -> None:
    """End a letter that was accepted in this attempt, however much was done about it since.

    Also one of which the database has lost this attempt: where a standby took over that had not
    heard of it, or a backup was restored. Raises Overtaken where another is past the fence with it,
    or its story has ended otherwise; and where the number is another letter's by then, since a
    restored backup counts from before.
    """
    with transaction.atomic():
        # As rows.held locks: who writes down a fact of the letter keeps nobody from its row.
        found = Letter.objects.select_for_update(of=("self",), no_key=True)
        found = found.select_related("subscriber")
        letter = found.filter(pk=letter_id).first()
        if letter is None:
            raise Overtaken
        if message_id != (letter.message_id or message_ids.of(letter)):
            raise Overtaken("its number was another letter's")
        if letter.state == State.ACCEPTED:
            return
        is_ours = letter.attempt == attempt or letter.state != State.TRANSMITTING
        if letter.state not in Letter.OPEN or not is_ours:
            raise Overtaken
        reason = "" if letter.message_id else FORGOTTEN
        facts = {"message_id": message_id, "last_reply": reply[:300], "stage": "dot"}
        transitions.end([letter], State.ACCEPTED, reason, now, **facts)


def _replay_journals(now) -> set[int]:
    """Record what workers that died had read of acceptances, and could not write down.

    Return the ids of letters that were accepted, and whose rows others hold.
    """
    unrecorded = set()

    def record(entries):
        for some in batched(entries, CHUNK, strict=False):
            unrecorded.update(_held(entry.letter_id for entry in some))
            for entry in some:
                if entry.letter_id not in unrecorded:
                    with _by_itself(f"letter {entry.letter_id}"):
                        accept_late(
                            entry.letter_id, entry.attempt, entry.message_id, entry.reply, now
                        )
        if count := sum(entry.letter_id in unrecorded for entry in entries):
            raise journal.Unrecorded(f"the rows of {count} letters are held")

    journal.replay(folder_of_journals(), record)
    return unrecorded


def _each_chunk(letters: QuerySet, act, now) -> None:
    """Act on these letters, some at a time. What others change meanwhile is theirs."""
    seen = 0
    for _ in range(MOST):
        chunk = list(letters.filter(pk__gt=seen).order_by("pk")[:CHUNK])
        if not chunk:
            return
        seen = chunk[-1].pk
        held = _held(letter.pk for letter in chunk)
        if free := [letter for letter in chunk if letter.pk not in held]:
            act(free, now)


def _held(ids) -> set[int]:
    """Return those of these letters whose rows others hold at this moment: whoever waited for them
    would keep all others waiting.
    """
    with transaction.atomic():
        return letter_sql.held(ids)


@contextmanager
def _by_itself(what: str):
    """Let what can't be seen to cost itself alone: a sweep that broke off would break off at the
    same place in each minute, and see to nothing behind it.
    """
    try:
        with transaction.atomic():
            yield
    except Overtaken:
        pass
    except Exception as error:
        if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
            raise  # The database is away, or somebody holds a row.
        logger.exception("%s: can't be seen to", what)


def _miss(letters, now):
    with _by_itself(f"{len(letters)} letters that are too late, from letter {letters[0].pk} on"):
        transitions.end(letters, State.MISSED, "its day ended first", now)


def _each(act, letters, now):
    for letter in letters:
        with _by_itself(f"letter {letter.pk}"):
            act(letter, now)


def _after_hold(letters, now, *, noted: set[str]):
    """Ask what became of letters, and act on the answer. What came back of one says it too, and
    what a worker has noted of it and not recorded.
    """
    answers = _ask(letters)
    told = delivery.told_of([letter.pk for letter in letters])
    for letter in letters:
        if letter.message_id in noted or letter.pk in told:
            answers[letter.message_id] = "yes"
        with _by_itself(f"letter {letter.pk}"):
            _act_on(answers.get(letter.message_id, "unknown"), letter, now)


def _noted(letters: QuerySet) -> set[str]:
    """Return the names of what workers that live have noted as accepted, since the first of these
    letters: one that is halted may stand still for hours, and its journal is replayed by nobody.

    Read once for all letters in doubt: the journals of many workers take seconds.
    """
    since = letters.aggregate(first=Min("created_at"))["first"]
    if since is None:
        return set()
    try:
        return journal.accepted_ids(folder_of_journals(), since, of=[journal.OPEN])
    except OSError:  # As an oracle that breaks.
        logger.exception("the journals can't be looked through")
        return set()


def _ask(letters) -> dict[str, lookup.Answer]:
    questions = [
        lookup.Question(
            letter.message_id,
            letter.pk,
            letter.kind,
            letter.frozen_at,
            letter.left_at or letter.frozen_at,
        )
        for letter in letters
    ]
    try:
        return lookup.ours().look_up(questions)
    except Exception:  # An oracle that breaks knows nothing.
        logger.exception("the oracle can't be asked")
        return {}


def _act_on(answer, letter, now):
    reason = "its day ended first"
    if letter.closes_at > now:
        reason = transitions.why_unwanted(letter, letter.subscriber, now)
    if answer == "yes":
        transitions.end([letter], State.ACCEPTED, "", now, last_reply=transitions.KNOWN)
    elif answer == "no" and reason:  # It surely did not arrive, and must not any more.
        transitions.end([letter], State.SKIPPED, reason, now, surely_never_left=letter.repeats == 0)
    elif answer == "no":
        never = letter.repeats == 0
        transitions.stumble(
            letter, now, "the mail server does not have it", surely_never_left=never
        )
    elif letter.repeats < settings.MAX_REPEATS and not reason:
        note = "nobody knows: sent again"
        transitions.move(
            [letter], State.PLANNED, now, note=note, repeats=letter.repeats + 1, next_try_at=now
        )
    else:
        logger.error("letter %s: nobody knows whether it arrived", letter.pk)
        reason = f"{Letter.UNKNOWN}: the mail server never answered"
        transitions.end([letter], State.FAILED, reason, now)
