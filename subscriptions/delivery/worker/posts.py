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
from subscriptions.delivery import transitions
from subscriptions.delivery.outcomes import record, record_render_error
from subscriptions.delivery.worker.transactions import InFlightLetter, Transactions

THREADS = 8  # So many posts are uncertain when a worker is killed.
PUT_BACK = partial(transitions.put_back, note="sending was stopped, or a row was locked")


def post_due(transactions: Transactions, may_claim: Callable[[], bool]) -> Counter[str]:
    """Post what is due, as long as `may_claim`. Return the number of letters by outcome."""
    counts, running_posts, is_claiming = Counter(), set(), True
    finished_letters, outcomes = [], []  # To be recorded together, and one by one.
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="post")
    try:
        while is_claiming or running_posts or finished_letters or outcomes:
            check_queue = []
            if is_claiming := is_claiming and may_claim():
                claimed = transactions.claim(THREADS - len(running_posts))
                is_claiming = not claimed.is_exhausted
                for letter, rendered in chain.from_iterable(claimed.rendered):
                    if isinstance(rendered, Exception):
                        outcomes.append((letter, partial(record_render_error, error=rendered)))
                    else:
                        check_queue.append(InFlightLetter(letter, frozen=rendered))
            recorded, check = transactions.commit_batch(finished_letters, check_queue)
            for flight in check_queue:
                if check and flight.letter in check.passed:
                    running_posts.add(threads.submit(_post, flight))
                elif not check or flight.letter in check.waiting:
                    outcomes.append((flight.letter, PUT_BACK))
            for flight in finished_letters:
                counts[flight.result.status] += 1
                if flight not in recorded:
                    outcomes.append((flight.letter, partial(record, result=flight.result)))
            try:
                transactions.record(outcomes)
            except Error as error:
                if not is_lock_timeout(error):
                    raise
            done_posts, running_posts = wait(running_posts, return_when=FIRST_COMPLETED)
            finished_letters = [post.result() for post in done_posts]
    finally:  # After an error, the next sweep replays the journal.
        unrecorded = [*finished_letters, *(post.result() for post in running_posts)]
        threads.shutdown()
        transactions.journal_accepted(unrecorded)
        transactions.close(is_complete=not (unrecorded or outcomes))
    return counts


def _post(flight) -> InFlightLetter:
    flight.result = hooks.post_to_channel(flight.letter.subscriber, flight.frozen.mime)
    return flight
