"""Celery's door into this room: a task takes a name at most, and calls one function."""

from celery import shared_task
from django.utils import timezone

from subscriptions.post import clock
from subscriptions.tasks import deliver_due_letters, in_time, is_stopping


@shared_task
def plan_digests():
    from digest import heartbeats, planning  # numpy's import, which only workers pay.

    now = clock.of_database()  # Workers' clocks may be ahead.
    heartbeats.beat(heartbeats.TICK, now)
    if planning.plan(now).letters:
        deliver_due_letters.delay()


@shared_task
def harvest_due_sources():
    from digest import harvest

    for name in harvest.due(timezone.now()):
        harvest_source.delay(name)


@shared_task
def harvest_source(name):
    """Ask one source, unless somebody is at it, and fit the ranking to what is new."""
    from digest import harvest
    from digest.indexing import index_store

    if not harvest.may_begin(name, timezone.now()):
        return
    source = harvest.SOURCES[name]()
    row = harvest.run(source, harvest.web_for(source))
    if row.new or row.changed:
        index_store.renew(timezone.now())


@shared_task
def keep_archive():
    """Let what came in lately be found, whoever stored it."""
    from digest.indexing import index_store

    index_store.refresh(timezone.now())


@shared_task
def embed_new_papers():
    """Compute missing sentence embeddings, for four minutes at most."""
    from digest.indexing import embeddings

    embeddings.embed_missing(timezone.now(), seconds=240, is_stopping=is_stopping)


@shared_task
def learn_from_feedback():
    """Fit the models of readers who said something of papers, apart from the minute's planning."""
    from digest import steering

    steering.learn(timezone.now())


@shared_task
def watch():
    """See what is wrong, and tell of it. That this runs at all is a sign of life, too."""
    from digest import alarms, heartbeats, keys

    now = clock.of_database()
    heartbeats.beat(heartbeats.TICK, now)
    keys.note(now)
    alarms.watch(now)


@shared_task
@in_time()
def read_what_came_back():
    """Empty the mailbox that letters come back to, and find the letters of what came too early."""
    from subscriptions import returns
    from subscriptions.post import mailboxes

    mailboxes.empty_ours(timezone.now())
    returns.match_again(timezone.now())


@shared_task
def check_promises():
    """See which promises are broken, if any."""
    from digest import alarms, heartbeats

    now = clock.of_database()
    alarms.note(alarms.broken_promises(now), now)
    heartbeats.beat(heartbeats.INVARIANTS, now)


@shared_task
def check_older_promises():
    """See the same of letters that check_promises leaves out, where there are very many."""
    from digest import alarms

    now = clock.of_database()
    alarms.note(alarms.promises_broken_earlier(now), now)


@shared_task
def check_refusals():
    """See whether mail servers let our digests in."""
    from digest import alarms

    now = clock.of_database()
    alarms.note(alarms.digests_not_taken(now), now)


@shared_task
def count_days():
    """Count what the last days were like, before what they are counted from is thrown away."""
    from digest import tallies

    tallies.count(timezone.now())


@shared_task
def throw_old_away():
    """Throw away what is too old."""
    from digest import upkeep
    from digest.indexing import embeddings

    upkeep.purge(timezone.now())
    embeddings.delete_refused()
