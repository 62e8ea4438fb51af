"""Let a language model summarise what was planned, before the emails are composed."""

from collections.abc import Callable
from datetime import datetime, timedelta

from digest.models import Pick
from digest.models.bulk_insert import among
from digest.models.locks import Lease
from digest.papers import summaries
from subscriptions.models import Letter

#: How long an email waits at most: it has summaries by then, or the authors' sentences.
WAIT = timedelta(minutes=2)
MIN_LEFT = timedelta(minutes=30)  # Before its deadline, an email does not wait.


def write_due(clock: Callable[[], datetime]) -> bool:
    """Write the summaries for which planned emails wait, then end their wait.

    One worker does so at a time. Return whether emails may be sent now. They go on waiting while
    the model does not answer.
    """
    planned_letters = Letter.objects.filter(ended_at=None, state=Letter.State.PLANNED, attempt=0)
    # Older emails wait for another reason, such as a provider that asks for slower delivery.
    waiting_letters = planned_letters.filter(kind=Letter.Kind.DIGEST, created_at__gt=clock() - WAIT)
    waiting_letters = waiting_letters.filter(next_try_at__gt=clock())
    waiting_letters = waiting_letters.exclude(subscriber__summary_language="")
    ids, lease = list(waiting_letters.values_list("pk", flat=True)), Lease("summaries", WAIT)
    if not ids or not lease.acquire():
        return False
    try:
        picks = Pick.objects.leading().filter(among("digest__letter", ids)).order_by("position")
        pairs = dict.fromkeys(picks.values_list("paper", "subscriber__summary_language"))
        if is_done := summaries.write(pairs, clock):
            planned_letters.filter(among("pk", ids)).update(next_try_at=clock())
    finally:
        lease.release()
    return is_done
