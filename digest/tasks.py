"""Celery tasks of the digest app. Each calls one function."""

from datetime import timedelta
from functools import partial

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from digest.models.locks import Lease
from digest.operations import alarms, daily_stats, heartbeats, retention
from subscriptions.actions import invite
from subscriptions.delivery import clock
from subscriptions.tasks import deliver_due_letters, is_stopping


@shared_task
def plan_digests(number=1):
    """Plan what is due, as the first of PLANNERS processes. Each lets the next begin."""
    from digest.planning import plan  # numpy's import, which only workers pay.

    if number < settings.PLANNERS:
        plan_digests.apply_async([number + 1], expires=55)
    now = clock.database_now()  # Workers' clocks may be ahead.
    heartbeats.beat(heartbeats.TICK, now)
    plan.plan(now, on_saved=deliver_due_letters.delay)
    if settings.LLM_URL:
        write_summaries.delay()


@shared_task
def write_summaries():
    """Let the language model summarise what was planned, for two minutes at most."""
    from digest.planning import summaries

    if summaries.write_due(clock.database_now):
        deliver_due_letters.delay()


@shared_task
def harvest_due_sources():
    from digest.papers import harvest

    for name in harvest.due_sources(timezone.now()):
        harvest_source.delay(name)


@shared_task(soft_time_limit=780)  # The import ends with an error that the source's page shows.
def harvest_source(name):
    """Harvest one source unless it is being harvested, then renew the model and the index."""
    from digest.indexing import index_store
    from digest.papers import harvest, registry

    if not harvest.try_start(name, timezone.now()):
        return
    source = registry.source_named(name)
    row = harvest.run(source, harvest.web_for(source))
    if row.new or row.changed:
        index_store.renew(timezone.now())


@shared_task
def update_search_index():
    """Add new papers to the search index."""
    from digest.indexing import index_store

    index_store.refresh(timezone.now())


@shared_task
def embed_new_papers():
    """Compute missing sentence embeddings, for four minutes at most."""
    from digest.indexing import embeddings

    embeddings.embed_missing(timezone.now(), seconds=240, is_stopping=is_stopping)


@shared_task
def learn_from_feedback():
    """Fit the preference models of subscribers with new feedback."""
    from digest.personalization import feedback

    feedback.learn(timezone.now())


@shared_task
def read_added_papers():
    """Read or look up papers that were added as interests, for a minute at most."""
    from digest.papers import harvest
    from digest.personalization import added_papers
    from digest.sources.look_ups import LookUps

    look_ups = LookUps(partial(harvest.web_for, retries=1, max_seconds=30))
    if added_papers.read_due_papers(look_ups, timezone.now):
        plan_digests.delay()


@shared_task
def read_zotero_libraries():
    """Read the libraries in Zotero that are due, for some minutes at most."""
    from digest.papers import harvest
    from digest.personalization import zotero

    source = zotero.Zotero()
    zotero.read_libraries(source, harvest.web_for(source, retries=1, max_seconds=30), timezone.now)


@shared_task
def watch():
    """Raise and end alarms. Its run is a heartbeat as well."""
    now = clock.database_now()
    heartbeats.beat(heartbeats.TICK, now)
    heartbeats.record_key(now)
    alarms.watch(now)


@shared_task
def read_bounces():
    """Read the bounce mailbox, and match earlier reports to their letters.

    One worker at a time: a run may take longer than the minute until the next.
    """
    from subscriptions.bounces import mailboxes, process

    lease = Lease("bounces", timedelta(minutes=15))
    if not lease.acquire():
        return
    try:
        mailboxes.empty_configured(timezone.now())
        process.match_unmatched(timezone.now())
    finally:
        lease.release()


@shared_task
def check_rarely():
    """Raise the alarms that only one process looks for."""
    alarms.check_rarely(clock.database_now())


@shared_task
def count_days():
    """Store daily counts before the counted rows are deleted."""
    daily_stats.count_days(timezone.now())


@shared_task
def remind_invited():
    """Remind invited people who did not answer."""
    invite.remind(timezone.now())


@shared_task
def delete_old_rows():
    """Delete old rows."""
    retention.purge(timezone.now())
