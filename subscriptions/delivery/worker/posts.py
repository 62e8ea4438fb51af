"""Posts to channels, in a loop apart from emails: neither waits for what hangs in the other.

A post has the states of an email, and its steps: claim, final check, post, record. Threads post,
since a channel may take half a minute to answer. They do not use the database.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from itertools import chain

from django.db import Error

from subscriptions import hooks
from subscriptions.db import is_lock_timeout
from subscriptions.delivery import outcomes, transitions
from subscriptions.delivery.worker.transactions import InFlightLetter, Transactions

THREADS = 8  # So many posts are uncertain when a worker is killed.
PUT_BACK = partial(transitions.put_back, note="sending was stopped, or a row was locked")


def post_due(transactions: Transactions, may_claim: Callable[[], bool]) -> Counter[str]:
    """Post what is due, as long as `may_claim`. Return the number of letters by outcome."""
    counts, posting, is_claiming = Counter(), set(), True
    finished_letters, rare = [], []  # To be recorded together, and one by one.
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="post")
    try:
        while is_claiming or posting or finished_letters or rare:
            at_check = []
            if is_claiming := is_claiming and may_claim():
                claimed = transactions.claim(THREADS - len(posting))
                is_claiming = not claimed.is_exhausted
                for letter, frozen in chain.from_iterable(claimed.rendered):
                    if isinstance(frozen, Exception):
                        rare.append((letter, partial(outcomes.record_render_error, error=frozen)))
                    else:
                        at_check.append(InFlightLetter(letter, frozen=frozen))
            recorded, checked = transactions.commit_batch(finished_letters, at_check)
            for item in at_check:
                if checked and item.letter in checked.passed:
                    posting.add(threads.submit(_post, item))
                elif not checked or item.letter in checked.waiting:
                    rare.append((item.letter, PUT_BACK))
            for item in finished_letters:
                counts[item.result.status] += 1
                if item not in recorded:
                    rare.append((item.letter, partial(outcomes.record, result=item.result)))
            try:
                transactions.record(rare)
            except Error as error:
                if not is_lock_timeout(error):
                    raise
            done, posting = wait(posting, return_when=FIRST_COMPLETED)
            finished_letters = [post.result() for post in done]
    finally:  # After an error, the next sweep replays the journal.
        unrecorded = [*finished_letters, *(post.result() for post in posting)]
        threads.shutdown()
        transactions.journal_accepted(unrecorded)
        transactions.close(is_complete=not (unrecorded or rare))
    return counts


def _post(item) -> InFlightLetter:
    item.result = hooks.post_to_channel(item.letter.subscriber, item.frozen.mime)
    return item
