"""What every test gets: a data directory of its own, a clock that stands still, and the outbox."""

import email.policy
import gc
import os
import sys
from copy import copy
from email.parser import BytesParser
from types import SimpleNamespace

import hypothesis
import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connections
from django.db.backends.postgresql.operations import DatabaseOperations
from django.utils import timezone, translation

from tests.factories.make import NOW
from tests.helpers import services

# The suite has a process for each core: more threads of BLAS would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# By the wall, beside other processes, an example may take any time.
examples = 100 if "CI" in os.environ else 25
too_slow = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile(
    "unhurried", deadline=None, max_examples=examples, suppress_health_check=too_slow
)
hypothesis.settings.load_profile("unhurried")

#: Module caches that would carry one test's papers into the next.
CACHES = [
    ("digest.indexing.model_store", "_loaded", None),
    ("digest.indexing.model_store", "_logged_row", 0),
    ("digest.indexing.index_store", "_loaded", None),
    ("digest.indexing.index_store", "_refused", {}),
    ("digest.indexing.index_store", "_checked_until", 0.0),
    ("digest.indexing.search", "_model", (0.0, None)),
    ("digest.indexing.candidate_windows", "_last", {}),
]
MOST_PROCESSES = 8  # Of some 400 MB each. With more, all would wait for the longest files anyway.
#: Files and folders that take longest. What begins with them ends sooner, on several processes.
LONG = (
    "faults/ subscriptions/delivery/ test_processes digest/ranking/ digest/planning/ test_browser"
)
LONGEST = tuple(f"tests/{name}" for name in LONG.split())
#: Of pages and texts. Their queries are run on PostgreSQL by the crawls of all pages.
PAGES = tuple(f"tests/{name}/" for name in ("config", "digest/letters", "digest/views"))
#: What lets a test use the database.
DATABASE = {"django_db_setup", "db", "transactional_db"}


def pytest_xdist_auto_num_workers(config):
    """Run the whole suite in more processes than there are cores, since some of the time is
    waiting; what was asked for by name, or for the night, in this one.
    """
    asked_for = config.option.keyword or any(".py" in name for name in config.args)
    if asked_for or "not nightly" not in config.option.markexpr:
        return 0
    return min(5 * (os.cpu_count() or 1) // 2, MOST_PROCESSES)


def pytest_collection_modifyitems(items):
    """Let run once what is the same on every database, and what takes longest come first."""
    for item in items:
        uses_database = item.get_closest_marker("django_db") or DATABASE & set(item.fixturenames)
        is_page = item.nodeid.startswith(PAGES)
        if not uses_database or is_page or "chromium" in item.fixturenames:
            item.add_marker(services.once)
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish():
    """Spare the garbage collector what stays: it would look through it again and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def data_dir(settings, tmp_path):
    """Give the test an empty DATA_DIR, and forget what the last one loaded."""
    settings.DATA_DIR = tmp_path
    settings.MEDIA_ROOT = tmp_path / "files"
    settings.STATIC_ROOT = tmp_path  # Where nothing was collected, WhiteNoise warns.
    settings.WHITENOISE_AUTOREFRESH = True  # Otherwise, each client lists two hundred files first.
    settings.EMAIL_URL = "file:"
    nothing = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    settings.CACHES = {**settings.CACHES, "pages": nothing}
    for module, name, empty in CACHES:
        if module in sys.modules:  # Importing them takes seconds, which most tests need not pay.
            setattr(sys.modules[module], name, copy(empty))
    return tmp_path


@pytest.fixture
def kept(settings):
    """Keep pages for a minute, as in production."""
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "kept"}
    settings.CACHES = {**settings.CACHES, "pages": memory}
    yield caches["pages"]
    caches["pages"].clear()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The clock that the views read stands at NOW, until a test sets `clock.now`."""
    clock = SimpleNamespace(now=NOW)
    monkeypatch.setattr(timezone, "now", lambda: clock.now)
    monkeypatch.setattr("subscriptions.delivery.clock.database_now", lambda: clock.now)
    return clock


@pytest.fixture(autouse=True)
def english():
    """Begin in English: a page's language stays the thread's own until the next request."""
    translation.activate("en")


@pytest.fixture
def outbox(data_dir):
    """Return a function that reads the letters sent so far, parsed, in the order of sending."""

    def read():
        files = (data_dir / "outbox").glob("*.eml")
        in_order = sorted(files, key=lambda file: (file.stem.split("-")[1], _letter_id(file)))
        parser = BytesParser(policy=email.policy.default)
        return [parser.parsebytes(file.read_bytes()) for file in in_order]

    return read


@pytest.fixture
def language_model(settings):
    """The settings and the server of a language model on loopback."""
    from tests.servers.language_model import LanguageModel

    model = LanguageModel()
    settings.LLM_URL, settings.LLM_MODEL, settings.LLM_API_KEY = f"{model.base}/v1", "tiny", "k1"
    yield model
    model.close()


@pytest.fixture
def panel(client):
    """The test client, logged in as an operator."""
    client.force_login(User.objects.create(username="you", is_staff=True, is_superuser=True))
    return client


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """Let PostgreSQL delete the few rows that a test has committed. Django would truncate all
    tables, for which it makes and syncs some hundred files anew.
    """

    def delete(self, style, tables, *, reset_sequences=False, allow_cascade=False):
        return [f"DELETE FROM {self.quote_name(table)}" for table in tables]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", delete)
        yield


@pytest.fixture(scope="module")
def chromium(django_db_setup):
    """Start a browser for the tests of one module.

    Within Playwright's loop, Django's connections are others than the thread's. So the tests'
    database is made before the loop begins, and those of the loop are closed before it ends.
    """
    services.require("chromium", "playwright")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread: Django would take our queries for asynchronous.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(
            executable_path=services.path_of("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()
        connections.close_all()


def _letter_id(file):
    return int(file.stem.split("-")[2])
