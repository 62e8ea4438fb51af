"""Checks of settings, secrets, stored data and other servers, which the doctor alone runs."""

import stat
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import uuid4

from celery import current_app
from django.conf import settings
from django.core.cache import caches
from django.http.request import validate_host
from django.utils import timezone
from django.utils.text import get_text_list
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from digest.indexing import embeddings, index_store, model_store
from digest.indexing.encoder import EncoderError
from digest.models import ArchiveFile, FittedModel, Paper, Summary
from digest.numbers import counted
from digest.operations import health, heartbeats
from digest.operations.checks import DAY, Note, check
from digest.operations.checks.service import LOCAL_HOSTS
from digest.papers import registry, summaries
from digest.ranking.query import queries
from subscriptions.delivery import clock
from subscriptions.delivery.status import utc
from subscriptions.models import Consent, Topic
from subscriptions.security import rate_limits

SIGN_UPS = 10
SKEW_SECONDS, MAX_SKEW_SECONDS = 5, 60


@check()
def clocks(now):
    """This machine and the database agree."""
    # Emails are due by the database's clock, log-ins and links expire by the machine's.
    skew = abs((clock.database_now() - timezone.now()).total_seconds())
    text = f"this machine and the database are {skew:,.0f} seconds apart: set both by NTP."
    if skew > SKEW_SECONDS:
        return text if skew > MAX_SKEW_SECONDS else Note(text)


@check()
def site(now):
    """SITE_URL is served, by https."""
    host = urlsplit(settings.SITE_URL).hostname
    if not validate_host(host, settings.ALLOWED_HOSTS):
        return f"links lead to {host}, which is not served: add it to ALLOWED_HOSTS."
    if "*" in settings.ALLOWED_HOSTS:
        return Note("ALLOWED_HOSTS is *, which accepts any host: list your host names.")
    if host in LOCAL_HOSTS:
        return Note(f"links lead to {settings.SITE_URL}, which works on this machine only.")
    if not settings.IS_HTTPS:
        return Note(
            "links use http, which others on the network can read and change: set up TLS, then "
            "change SITE_URL to https."
        )


@check()
def proxies(now):
    """TRUSTED_PROXIES fits the addresses of visitors."""
    sign_ups = Consent.objects.filter(act=Consent.Act.ASKED, ip__isnull=False).order_by("-pk")
    ips = list(sign_ups.values_list("ip", flat=True)[:SIGN_UPS])
    if len(ips) == SIGN_UPS and len(set(ips)) == 1 and not ip_address(ips[0]).is_global:
        return Note(
            f"the last {SIGN_UPS} sign-ups all came from {ips[0]}, which is not a public "
            "address: if it is your proxy, add it to TRUSTED_PROXIES (docs/security.md)."
        )
    if rate_limits.was_proxy_bypassed(now):
        return (
            f"a sign-up of the last day bypassed one of the {settings.TRUSTED_PROXIES} proxies in "
            "TRUSTED_PROXIES, so visitors can forge their address: lower the number, or block "
            "requests that do not pass all proxies (docs/security.md)."
        )
    if settings.IS_HTTPS and not settings.TRUSTED_PROXIES:
        return Note(
            "all visitors seem to have the address of the TLS proxy and share its rate limits: set "
            "TRUSTED_PROXIES (docs/security.md)."
        )


@check()
def secret_key(now):
    """SECRET_KEY is long and secret, and older ones are kept."""
    file = settings.DATA_DIR / "secret-key"
    if len(settings.SECRET_KEY) < settings.MIN_SECRET_KEY_LENGTH:
        return Note(
            f"SECRET_KEY has {len(settings.SECRET_KEY)} characters and can be guessed. Use at "
            f"least {settings.MIN_SECRET_KEY_LENGTH}, and move the old key to SECRET_KEY_FALLBACKS."
        )
    if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"other users of this machine can read {file}: run `chmod 600 {file}`."
    if used_at := heartbeats.last_unknown_key(now):
        return Note(
            f"another key was in use until {utc(used_at)}, and links in emails from then "
            "do not work: add it to SECRET_KEY_FALLBACKS unless it was stolen (docs/security.md)."
        )


@check("note")
def debug_mode(now):
    """DEBUG is off."""
    if settings.DEBUG:
        return "DEBUG is on: error pages show code and settings to everyone. Set DEBUG=0."


@check()
def cache(now):
    """The cache keeps values."""
    location = urlsplit(str(settings.CACHES["default"].get("LOCATION", "")))
    if not location.scheme:  # It is in the memory of each process.
        return None
    key = f"doctor-{uuid4().hex}"
    caches["default"].set(key, "here", timeout=5)  # An error of it is the doctor's result.
    if caches["default"].get(key) != "here":
        return "the cache loses values at once: check the server in CACHE_URL."


@check()
def broker(now):
    """The broker takes messages, and keeps them."""
    if settings.CELERY_BROKER_URL.startswith("memory:"):
        return None
    with current_app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=5)
        except OperationalError as error:
            return (
                f"no answer from CELERY_BROKER_URL ({error}). Start the broker; until then, run "
                "`manage.py tick` to plan and send by hand."
            )
        if not settings.CELERY_BROKER_URL.startswith("redis"):
            return None
        redis = connection.default_channel.client
        try:
            redis.set(f"doctor-{uuid4().hex}", "here", ex=1)
        except RedisError as error:  # It is full, or a replica.
            return f"Redis refuses messages ({error}): check its memory, disk and log."
        if redis.info("memory").get("maxmemory_policy", "noeviction") != "noeviction":
            return "Redis may evict messages: set maxmemory-policy to noeviction."


@check("note")
def imprint(now):
    """The site and its emails name the operator."""
    names = ("OPERATOR_NAME", "POSTAL_ADDRESS", "CONTACT_EMAIL")
    missing_names = [name for name in names if not getattr(settings, name)]
    if missing_names:
        return (
            "many countries require a site and its emails to name the operator: set "
            f"{get_text_list(missing_names, 'and')}."
        )


@check("note")
def model(now):
    """The fitted model can be loaded."""
    return _file_fault(FittedModel.objects.first(), model_store)


@check("note")
def search_index(now):
    """The search index can be loaded."""
    return _file_fault(ArchiveFile.objects.first(), index_store)


def _file_fault(row, store):
    if row is None:
        return "none yet: a worker builds it within ten minutes."
    try:
        store.load(row)
    except store.Damaged as reason:
        return f"{reason}; a worker rebuilds it within ten minutes."


@check(name="embeddings")
def sentence_embeddings(now):
    """All papers have sentence embeddings, or SEMANTIC_MODEL is not set."""
    if not settings.SEMANTIC_MODEL:
        return None
    try:
        encoder = embeddings.load()
    except EncoderError as error:
        return f"{error} Papers are ranked without. Run `manage.py embed` to try again."
    since = embeddings.first_day(now)
    if missing := embeddings.without_vector(encoder, since).count():
        count = counted(Paper.objects.filter(day__gte=since).count(), "paper")
        days = settings.CORPUS_DAYS
        return Note(
            f"{missing:,} of {count} of the last {days} days have none; workers add them, or run "
            "`manage.py embed`."
        )


@check()
def language_model(now):
    """The language model answers, or LLM_URL is not set."""
    if not settings.LLM_URL:
        return None
    try:
        summaries.ask("Bread", "We bake bread in 3 ovens and find that it rises.", "de")
    except summaries.NoAnswer as error:
        advice = "Check LLM_URL, LLM_MODEL and LLM_API_KEY. Emails have the authors' sentences."
        return f"{error or 'it took too long'}. {advice}"
    recent = Summary.objects.filter(day__gt=now.date() - 7 * DAY)
    refused, shown = (recent.exclude(**{field: ""}).count() for field in ("refused", "text"))
    if refused > shown / 4:
        return Note(f"answers; in a week, {refused:,} answers refused and {shown:,} taken.")


@check()
def recent_papers(now):
    """There are papers for digests."""
    newest = Paper.objects.first()
    if newest is None or (timezone.localdate(now) - newest.day).days >= settings.NEW_DAYS:
        command = "harvest" if registry.enabled() else "import_papers FILE"
        return (
            f"none of the last {settings.NEW_DAYS} days, so digests are empty: run "
            f"`manage.py {command}`."
        )


@check("note")
def topics(now):
    """Topics are offered, and their words can find papers."""
    offered = Topic.objects.offered()
    if not offered.exists():
        return "none offered: add some in the panel, or run `manage.py serve`."
    # The panel refuses queries of stop words alone; an import doesn't.
    rows = offered.exclude(query="").filter(categories=[])
    names = [topic.name for topic in rows if not queries(topic.query)]
    if names:
        return f"The words of these find no papers: {', '.join(names)}. Change or withdraw them."


@check("note")
def sources(now):
    """A source is switched on, and each was fetched."""
    if not registry.enabled():
        return "none is on: switch one on in the panel, or run `manage.py import_papers`."
    if names := [name for name, run in health.last_harvests().items() if run is None]:
        return f"{', '.join(names)} not fetched yet: run `manage.py harvest`."


@check("note")
def alarm_webhook(now):
    """Alarms are posted to ALARM_WEBHOOK. Test it by `doctor --sound-alarm`."""
    if not settings.ALARM_WEBHOOK:
        return "alarms are only logged: set ALARM_WEBHOOK to be notified."
