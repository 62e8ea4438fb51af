"""Every setting, in one file. What differs between installations comes from the environment.

With nothing set, Paperboy runs by itself: SQLite, an outbox of files, a worker thread, all under
DATA_DIR. Where SITE_URL is https or DATABASE_URL is set, this is a public installation, and what
must not be guessed (SECRET_KEY, ALLOWED_HOSTS) is asked for.
"""

import logging
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.csp import CSP

from config import environment as env
from config import menu, proxies
from config.logs import FORMATTERS, Place, Strangers

env.refuse_removed()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR") or BASE_DIR / "var").resolve()

# ---- Where this is, and for whom

SITE_NAME = env.text("SITE_NAME", "Paperboy")
SITE_URL = env.site_address("SITE_URL", "http://127.0.0.1:8000")
HAS_OWN_PORT = not env.text("SITE_URL")  # Links lead to the port that `serve` and `demo` take.
IS_HTTPS = urlsplit(SITE_URL).scheme == "https"
IS_PUBLIC = IS_HTTPS or bool(env.text("DATABASE_URL"))

MIN_SECRET_KEY_LENGTH = 32  # A shorter key of signatures can be guessed sooner or later.
DEBUG = env.flag("DEBUG")
if DEBUG and IS_HTTPS:
    raise ImproperlyConfigured(
        "DEBUG is on, and SITE_URL is https: every visitor would see code and settings in an error."
    )
if IS_PUBLIC:
    for name in ("SECRET_KEY", "ALLOWED_HOSTS"):
        if not env.text(name):
            raise ImproperlyConfigured(
                f"{name} is not set. A public installation (SITE_URL is https, or DATABASE_URL is "
                f"set) needs it in its environment: see 'Deploy' in README.md."
            )
    if len(env.text("SECRET_KEY")) < MIN_SECRET_KEY_LENGTH:
        raise ImproperlyConfigured(
            f"SECRET_KEY is shorter than {MIN_SECRET_KEY_LENGTH} characters and can be guessed. "
            f"Make a new key: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'. Move "
            f"the old key to SECRET_KEY_FALLBACKS, so that links in sent emails go on working."
        )
SECRET_KEY = env.text("SECRET_KEY") or env.generated_secret(DATA_DIR / "secret-key")
SECRET_KEY_FALLBACKS = env.items("SECRET_KEY_FALLBACKS")
OUR_HOSTS = ["127.0.0.1", "localhost", "[::1]", urlsplit(SITE_URL).hostname]
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS") or OUR_HOSTS

# Who runs this, as the imprint tells; and what the operator has to add to it, and to the privacy
# page: a register, the company that hosts this, the logs of the web server in front of it.
OPERATOR_NAME = env.text("OPERATOR_NAME")
CONTACT_EMAIL = env.email_address("CONTACT_EMAIL")
IMPRINT_NOTE = env.text("IMPRINT_NOTE")
PRIVACY_NOTE = env.text("PRIVACY_NOTE")
# Where the source of what runs here is, changes of the operator's own among it.
SOURCE_URL = env.web_address("SOURCE_URL")

# ---- The applications

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "config.panel.PanelConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sitemaps",
    "django.contrib.staticfiles",
    "import_export",
    "subscriptions",
    "digest",
]

MIDDLEWARE = [
    "config.logs.number_requests",
    "config.proxies.find_visitor",
    # What every answer bears, also that of the next ones: headers first.
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.policies.ContentSecurityPolicy",
    "config.policies.secret_addresses",
    "config.policies.only_readable",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.policies.Language",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

# Two engines: Django escapes in .txt templates too, so plain text gets one that doesn't.
ENGINE = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "DIRS": [BASE_DIR / "templates"],
}
TEMPLATES = [
    ENGINE
    | {
        "NAME": "html",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.policies.site",
            ],
            "builtins": ["subscriptions.dates"],
        },
    },
    ENGINE | {"NAME": "text", "OPTIONS": {"autoescape": False}},
]

# ---- What is kept

if not env.text("DATABASE_URL"):
    try:
        DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"DATA_DIR is {DATA_DIR}, which is no folder and can't be made one ({error.strerror}): "
            f"name another."
        ) from None
DATABASES = {"default": env.database("DATABASE_URL", f"sqlite:///{DATA_DIR / 'paperboy.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A writer takes its lock when it begins and waits for it; a deferred one fails midway.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: with NORMAL, the last commits may be lost with the power, and a letter sent twice.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
        "PRAGMA secure_delete=ON;",  # What is erased is gone from the file, too.
    }
    # A file, so that the tests' threads have connections of their own, as in real life.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    options = DATABASES["default"].setdefault("OPTIONS", {})
    # A pooler that hands a session on after each transaction refuses the words below, and keeps no
    # cursor for who asks again: DATABASE_URL=…?pool_mode=transaction (docs/install.md).
    pool_mode = options.pop("pool_mode", "session")
    if pool_mode not in ("session", "transaction"):
        raise ImproperlyConfigured(
            f"pool_mode in DATABASE_URL must be session or transaction, not {pool_mode!r}."
        )
    if pool_mode == "transaction":
        DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
    else:
        # No query, lock or transaction that hangs keeps the others waiting for ever; and moments
        # come as the driver reads them, whatever the server's habit is. To compile a query takes
        # longer than ours run: those behind the promises a fifth of their time.
        ours = (
            "-c statement_timeout=60s -c lock_timeout=5s "
            "-c idle_in_transaction_session_timeout=30s -c datestyle=ISO -c jit=off"
        )
        # What DATABASE_URL asks for counts after that: a search_path, say.
        options["options"] = f"{ours} {options.get('options', '')}".rstrip()
    # Of what subscriptions/statements.py runs. A pooler may know nothing of what was prepared in a
    # session that it hands on: DATABASE_URL=…?prepare_threshold=none
    is_prepared = options.get("prepare_threshold") != "none"
    options["prepare_threshold"] = 0 if is_prepared else None
    # Seconds. To connect to a black hole would take minutes; amid a connection, TCP by itself gives
    # up after a quarter of an hour, or after two hours where all that we said had arrived.
    patience = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}
    patience |= {"keepalives_count": 3, "tcp_user_timeout": 30_000}  # Milliseconds.
    DATABASES["default"]["OPTIONS"] = patience | options

CACHE_URL = env.cache("CACHE_URL")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": CACHE_URL}
    if CACHE_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # Pages that are the same for everyone, in each process's own memory: see digest/page_cache.py.
    "pages": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "pages",
        "OPTIONS": {"MAX_ENTRIES": 300},
    },
}

MEDIA_ROOT = DATA_DIR / "files"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_ROOT = BASE_DIR / "static" / "root"  # What browsers ask for at the root, by name.
WHITENOISE_USE_FINDERS = True  # No `collectstatic` on a laptop; Dockerfile runs it.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.statics.StaticFiles"},
}

TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]

# ---- The post

EMAIL_URL = env.text("EMAIL_URL", "file:")
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Paperboy <digest@paperboy.example>")
MAIL_DOMAIN = parseaddr(DEFAULT_FROM_EMAIL)[1].partition("@")[2]
if not MAIL_DOMAIN:
    raise ImproperlyConfigured(f"DEFAULT_FROM_EMAIL holds no address: {DEFAULT_FROM_EMAIL!r}.")
# Mailbox providers judge a list and what was asked for in person apart, by who they are from.
# Where one address is named, both are from it: a mail server may let no other pass.
TRANSACTIONAL_FROM_EMAIL = env.text("TRANSACTIONAL_FROM_EMAIL") or env.text(
    "DEFAULT_FROM_EMAIL", "Paperboy <hello@paperboy.example>"
)
REPLY_TO_EMAIL = env.text("REPLY_TO_EMAIL")  # Of someone who reads what is written there.
# Where letters that can't be delivered come back to: an address under which each letter gets one of
# its own (VERP), or, where this is empty, the sender's. Empty delimiter: the same for all letters.
BOUNCE_ADDRESS = env.text("BOUNCE_ADDRESS")
RECIPIENT_DELIMITER = env.text("RECIPIENT_DELIMITER") if env.is_set("RECIPIENT_DELIMITER") else "+"
# Where that mail lies, if no mail server pipes it in: maildir:/…, mbox:/… or imaps://…
BOUNCE_MAILBOX = env.text("BOUNCE_MAILBOX")
# What tells a mail provider that posts to us from others: the password in the address that it posts
# to (user:password), and the key that it signs with, where it does.
WEBHOOK_SECRET = env.text("WEBHOOK_SECRET")
WEBHOOK_SIGNING_KEY = env.text("WEBHOOK_SIGNING_KEY")
# So often may a letter be sent again of which nobody knows whether it arrived: 1, or 0 for never.
MAX_REPEATS = int(env.flag("REPEAT_UNKNOWN", default=True))
PROVIDER_RATES = env.numbers("PROVIDER_RATES", "google=600")  # Letters a minute.
if not all(0 < rate < float("inf") for rate in PROVIDER_RATES.values()):
    raise ImproperlyConfigured("PROVIDER_RATES must be letters a minute, and more than none.")
POSTAL_ADDRESS = env.text("POSTAL_ADDRESS")  # At the foot of letters, and on the imprint.
ORACLE = env.text("ORACLE")  # Who knows later what arrived: postfix:/var/log/mail.log.
# How long a letter's events are kept after its end, and how long the letter, with its digest and
# picks: these say which papers a reader has had, and papers may come again for two months.
KEEP_EVENTS = timedelta(days=env.whole_number("KEEP_EVENTS_DAYS", 90))
KEEP_LETTERS = timedelta(days=env.whole_number("KEEP_LETTERS_DAYS", 400))
KEEP_TRAIL = timedelta(days=env.whole_number("KEEP_TRAIL_DAYS", 400))  # Of what the panel changed.
if KEEP_LETTERS.days < 90:
    raise ImproperlyConfigured(
        f"KEEP_LETTERS_DAYS is {KEEP_LETTERS.days}: below 90, readers would get papers again."
    )
# Letters go through the post office of subscriptions.post, and nothing else is sent.
MAILERS = {}
SILENCED_SYSTEM_CHECKS = ["mail.W001"]

# ---- The digest

NEW_DAYS = env.whole_number("NEW_DAYS", 7)  # Papers of so many days go into a first digest.
if KEEP_LETTERS.days < NEW_DAYS:
    raise ImproperlyConfigured(
        f"NEW_DAYS is {NEW_DAYS}: above KEEP_LETTERS_DAYS, readers would get papers again."
    )
CORPUS_DAYS = env.whole_number("CORPUS_DAYS", 90)  # The model is fitted on so many.
RANKING = env.numbers("RANKING", "cut=4")  # Changes to digest.ranking.parameters.Parameters.
# The model of sentence embeddings: none, a folder, or a name on the Hugging Face Hub.
SEMANTIC_MODEL = env.text("SEMANTIC_MODEL")

# ---- The sources

SOURCES = env.items("SOURCES") if env.is_set("SOURCES") else ["arxiv", "huggingface"]
ARXIV_CATEGORIES = env.items("ARXIV_CATEGORIES")  # None named: all archives.
# So long after her hour, a digest waits for a list that has not come in whole.
HARVEST_GRACE = timedelta(minutes=env.whole_number("HARVEST_GRACE_MINUTES", 60))
KEEP_OBSERVATIONS = timedelta(days=env.whole_number("KEEP_OBSERVATIONS_DAYS", 365))
KEEP_HARVESTS = timedelta(days=env.whole_number("KEEP_HARVESTS_DAYS", 90))
if KEEP_HARVESTS.days < 14:
    raise ImproperlyConfigured(
        f"KEEP_HARVESTS_DAYS is {KEEP_HARVESTS.days}: below 14, days that are owed are forgotten."
    )
KEEP_RESPONSES = timedelta(days=env.whole_number("KEEP_RESPONSES_DAYS", 7))

# ---- Who is told that something is wrong: see digest/alarms.py

ALARM_WEBHOOK = env.web_address("ALARM_WEBHOOK", is_secret=True)  # Gets {"text": …}.
# So long after their moment, digests that aren't planned and letters that don't leave are an alarm.
ALARM_LATE = timedelta(minutes=env.whole_number("ALARM_LATE_MINUTES", 15))

# Whoever brings it reads the figures at /metrics; where it is empty, nobody does.
METRICS_TOKEN = env.text("METRICS_TOKEN")
if 0 < len(METRICS_TOKEN) < 16:
    raise ImproperlyConfigured("METRICS_TOKEN is too short: make one of 16 characters or more.")

# ---- Celery: see config/celery.py

CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", "memory://localhost/")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "ingest"
CELERY_TASK_ROUTES = {
    "digest.tasks.plan_digests": {"queue": "tick"},
    "digest.tasks.watch": {"queue": "tick"},
    "subscriptions.tasks.deliver_due_letters": {"queue": "tick"},
    "subscriptions.tasks.deliver_letter": {"queue": "send"},
    "subscriptions.tasks.deliver_letters": {"queue": "send"},
}
CELERY_TASK_TIME_LIMIT = 840  # Under the lease of a claimed letter, which is 900 s.
CELERY_TASK_SOFT_TIME_LIMIT = 780
CELERY_BEAT_SCHEDULER = "config.beat:Scheduler"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Who signs up while Redis is down gets her page at once: the letter waits in the database.
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 2,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.5,
}
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "global_keyprefix": "paperboy:",
        "visibility_timeout": 1800,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        # No retry by redis-py: where Redis comes back at once, it would connect anew inside the
        # worker's event loop and wait there for ever. kombu connects anew by itself.
    }
    if CELERY_BROKER_URL.startswith(("redis:", "rediss:"))
    else {"polling_interval": 0.2}
)
CELERY_TIMEZONE = "UTC"

# ---- Safety

CSRF_FAILURE_VIEW = "config.errors.form_unproven"
CSRF_TRUSTED_ORIGINS = [SITE_URL] if IS_HTTPS else []
# Our proxies, which say whose requests they hand on: how many, or in which networks they are.
TRUSTED_PROXIES = proxies.parsed(env.items("TRUSTED_PROXIES"))
DEFAULT_EXCEPTION_REPORTER_FILTER = "config.policies.SettingsFilter"
# How often doors may be knocked at: see subscriptions/limits.py and docs/security.md.
LIMITS = env.whole_numbers(
    "LIMITS",
    {
        "network": 20,  # Letters that one network asks for in an hour, at each door.
        "all": 500,  # The same, of all together.
        "mailbox": 3,  # Letters that a mailbox gets in a day because somebody typed its address.
        "passwords": 5,  # Wrong ones from one network in a quarter of an hour, at the log-in.
        "account": 10,  # The same for one account, over all networks.
    },
)
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # Bytes of a request's body.
DATA_UPLOAD_MAX_NUMBER_FILES = 1  # In the panel. Public forms take none: see config/uploads.py.
FILE_UPLOAD_HANDLERS = ["config.uploads.PanelFile"]
if IS_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    # The proxy redirects to https; whether all subdomains are https is for the operator to know.
    SILENCED_SYSTEM_CHECKS += ["security.W005", "security.W008", "security.W021"]
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.SELF],
    "script-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
# Unfold's panel computes expressions in attributes (Alpine) and styles its widgets inline.
ADMIN_CSP = SECURE_CSP | {
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "script-src": [CSP.SELF, CSP.UNSAFE_INLINE, CSP.UNSAFE_EVAL],
    "frame-src": [CSP.SELF],
    "frame-ancestors": [CSP.SELF],
}
LOGIN_REDIRECT_URL = "admin:index"  # From the log-in's own address, which says nothing of where to.
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
    )
]

# ---- The log

LOG_FORMAT = env.text("LOG_FORMAT", "text")
if LOG_FORMAT not in FORMATTERS:
    raise ImproperlyConfigured(f"LOG_FORMAT must be text or json, not {LOG_FORMAT!r}.")
LOG_LEVEL = env.text("LOG_LEVEL", "WARNING").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured(
        f"LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not {LOG_LEVEL!r}."
    )
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": FORMATTERS[LOG_FORMAT]},
    "filters": {"place": {"()": Place}, "strangers": {"()": Strangers}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["place", "strangers"],
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        # Pages that are not there are told by config.logs, and not by what was asked for.
        "django.request": {"level": "ERROR"},
        # The web server would go on in a form of its own.
        "gunicorn.error": {"handlers": [], "propagate": True},
        # Tells of each request by its address: the webhook's is secret.
        "httpx2": {"level": "WARNING"},
        "bibtexparser": {"level": "CRITICAL"},  # Tells of each broken entry; the reader hears it.
        "flufl.bounce": {"level": "CRITICAL"},  # Tells of each bounce that breaks it.
        "pylatexenc": {"level": "ERROR"},  # Tells of each broken formula; the reader sees it raw.
    },
}

# ---- The admin panel

UNFOLD = {
    "SITE_TITLE": SITE_NAME,
    "SITE_HEADER": SITE_NAME,
    "SITE_SUBHEADER": "Admin panel, times in UTC",
    "SITE_ICON": lambda request: static("favicon.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("favicon.svg")}
    ],
    "STYLES": [lambda request: static("panel.css")],
    "BORDER_RADIUS": "6px",
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": menu.COLORS,
    "DASHBOARD_CALLBACK": "digest.admin.today.dashboard",
    "SIDEBAR": {"navigation": menu.NAVIGATION},
}

# In CSV: a spreadsheet runs a cell that begins with =. digest/packs.py leaves YAML and JSON alone.
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True

# ---- What else is in the environment, and looks like one of the names above

SLIPS = env.slips()
