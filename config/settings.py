"""All settings. What differs between installations comes from the environment.

With nothing set, Paperboy runs by itself: SQLite, an outbox of files, a worker thread, all under
DATA_DIR. If SITE_URL is https or DATABASE_URL is set, the installation is public, and SECRET_KEY
and ALLOWED_HOSTS are required.
"""

import logging
from base64 import b64encode
from datetime import timedelta
from email.utils import parseaddr
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from django.conf.locale import LANG_INFO
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.utils.csp import CSP

from config import admin_menu, brand, client_ip, env
from config.log_format import FORMATTERS, LogContext, RefusedRequests

env.refuse_removed()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR") or BASE_DIR / "var").resolve()

# ---- The site

SITE_NAME = env.text("SITE_NAME", "Paperboy")
SITE_URL = env.site_address("SITE_URL", "http://127.0.0.1:8000")
HAS_OWN_PORT = not env.text("SITE_URL")  # Links use the port of `serve` and `demo`.
# Of `manage.py once`, whose emails have no links to a site: it empties SITE_URL.
INTERESTS_FILE = ""
IS_HTTPS = urlsplit(SITE_URL).scheme == "https"
IS_PUBLIC = IS_HTTPS or bool(env.text("DATABASE_URL"))

MIN_SECRET_KEY_LENGTH = 32  # A shorter signing key can be guessed.
DEBUG = env.flag("DEBUG")
if DEBUG and IS_HTTPS:
    raise ImproperlyConfigured(
        "DEBUG is on and SITE_URL is https: errors would show code and settings to visitors. "
        "Remove DEBUG."
    )
if IS_PUBLIC:
    for name in ("SECRET_KEY", "ALLOWED_HOSTS"):
        if not env.text(name):
            raise ImproperlyConfigured(
                f"{name} is not set. A public installation (SITE_URL is https, or DATABASE_URL is "
                f"set) needs it: see docs/configuration.md."
            )
    if len(env.text("SECRET_KEY")) < MIN_SECRET_KEY_LENGTH:
        raise ImproperlyConfigured(
            f"SECRET_KEY is shorter than {MIN_SECRET_KEY_LENGTH} characters and can be guessed. "
            f"Make a new key: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'. Move "
            f"the old key to SECRET_KEY_FALLBACKS, so that links in sent emails keep working."
        )
SECRET_KEY = env.text("SECRET_KEY") or env.generated_secret(DATA_DIR / "secret-key")
SECRET_KEY_FALLBACKS = env.items("SECRET_KEY_FALLBACKS")
OUR_HOSTS = ["127.0.0.1", "localhost", "[::1]", urlsplit(SITE_URL).hostname]
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS") or OUR_HOSTS

# The first account of the panel, which `serve` creates.
ADMIN_EMAIL = env.email_address("ADMIN_EMAIL")
ADMIN_PASSWORD = env.text("ADMIN_PASSWORD")
if bool(ADMIN_EMAIL) != bool(ADMIN_PASSWORD):
    raise ImproperlyConfigured("ADMIN_EMAIL and ADMIN_PASSWORD belong together. Set both, or none.")

# For the imprint and the privacy page. The notes are what an operator has to add: a register, the
# hosting company, the logs of the web server in front.
OPERATOR_NAME = env.text("OPERATOR_NAME")
CONTACT_EMAIL = env.email_address("CONTACT_EMAIL")
IMPRINT_NOTE = env.text("IMPRINT_NOTE")
PRIVACY_NOTE = env.text("PRIVACY_NOTE")
# The source of this installation, with the operator's own changes.
SOURCE_URL = env.web_address("SOURCE_URL")

# The logo beside the name, and the colour of links and buttons, in emails and on pages.
LOGO_URL = env.path_or_address("LOGO_URL")
BRAND_COLORS = brand.shades(env.text("ACCENT_COLOR"))  # By the default ones that they replace.
BRAND_STYLE = brand.style(BRAND_COLORS)

# The full text of a paper with a DOI: a link resolver or a proxy.
LIBRARY_LINK = env.doi_address("LIBRARY_LINK")

# ---- The applications

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "django.contrib.admin",
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
    "config.log_format.log_requests",
    "config.client_ip.set_client_ip",
    # Headers of every response, also of those that the next middleware gives.
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.middleware.ContentSecurityPolicy",
    "config.middleware.protect_token_pages",
    "config.middleware.refuse_unreadable",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.middleware.Language",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

# Two engines: Django escapes in .txt templates too, so plain text has an engine that does not.
ENGINE = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "DIRS": [BASE_DIR / "templates"],
}
TEMPLATES = [
    ENGINE
    | {
        "NAME": "html",
        "OPTIONS": {
            "loaders": [
                ("django.template.loaders.cached.Loader", ["subscriptions.mail.inlining.Loader"])
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.middleware.site",
            ],
            "builtins": ["subscriptions.templatetags.dates"],
        },
    },
    ENGINE | {"NAME": "text", "OPTIONS": {"autoescape": False}},
]

# ---- Storage

if not env.text("DATABASE_URL"):
    try:
        DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"Cannot create the folder {DATA_DIR} ({error.strerror}). Set DATA_DIR to another one."
        ) from None
DATABASES = {"default": env.database("DATABASE_URL", f"sqlite:///{DATA_DIR / 'paperboy.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A writer waits for its lock at the start; a deferred transaction would fail midway.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: with NORMAL, a power failure may lose commits, and a letter would be sent twice.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
        "PRAGMA secure_delete=ON;",  # Erased data is gone from the file, too.
    }
    # A file, so that the tests' threads have connections of their own.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    options = DATABASES["default"].setdefault("OPTIONS", {})
    # A pooler in transaction mode refuses the options below, and keeps no server-side cursor:
    # DATABASE_URL=…?pool_mode=transaction (docs/install.md).
    pool_mode = options.pop("pool_mode", "session")
    if pool_mode not in ("session", "transaction"):
        raise ImproperlyConfigured(
            f"pool_mode in DATABASE_URL must be session or transaction, not {pool_mode!r}."
        )
    if pool_mode == "transaction":
        DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
    else:
        # No hanging query, lock or transaction delays others for ever. The driver needs ISO dates.
        # JIT compilation takes longer than our queries: a fifth of the time of the invariants'.
        session_options = (
            "-c statement_timeout=60s -c lock_timeout=5s "
            "-c idle_in_transaction_session_timeout=30s -c datestyle=ISO -c jit=off"
        )
        # Options of DATABASE_URL, such as a search_path, override these.
        options["options"] = f"{session_options} {options.get('options', '')}".rstrip()
    # For subscriptions/db.py. A pooler may not know the prepared statements of a session:
    # DATABASE_URL=…?prepare_threshold=none
    is_prepared = options.get("prepare_threshold") != "none"
    options["prepare_threshold"] = 0 if is_prepared else None
    # Without these, TCP gives up on a silent server after minutes or hours.
    timeouts = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}  # Seconds.
    timeouts |= {"keepalives_count": 3, "tcp_user_timeout": 30_000}  # Milliseconds.
    DATABASES["default"]["OPTIONS"] = timeouts | options

CACHE_URL = env.cache("CACHE_URL")
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": CACHE_URL}
    if CACHE_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # Pages that are the same for everyone, in each process's memory: see
    # digest/views/page_cache.py.
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
WHITENOISE_ROOT = BASE_DIR / "static" / "root"  # Files that browsers request at the root.
WHITENOISE_USE_FINDERS = True  # No `collectstatic` on a laptop; Dockerfile runs it.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static_storage.StaticFiles"},
}

TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
# Of summaries by a language model.
codes = ("de", "en", "es", "fr", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh-hans")
SUMMARY_LANGUAGES = [(code, LANG_INFO[code]["name_local"]) for code in codes]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]

# ---- Email

EMAIL_URL = env.text("EMAIL_URL", "file:")
HAS_SENDER = bool(env.text("DEFAULT_FROM_EMAIL"))
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Paperboy <digest@paperboy.example>")
MAIL_DOMAIN = parseaddr(DEFAULT_FROM_EMAIL)[1].partition("@")[2]
if not MAIL_DOMAIN:
    raise ImproperlyConfigured(f"DEFAULT_FROM_EMAIL has no email address: {DEFAULT_FROM_EMAIL!r}.")
# Mailbox providers rate a list and transactional email apart, by the sender. If only one address is
# set, both use it: a mail server may accept no other.
sender = env.text("DEFAULT_FROM_EMAIL", "Paperboy <hello@paperboy.example>")
TRANSACTIONAL_FROM_EMAIL = env.text("TRANSACTIONAL_FROM_EMAIL", sender)
REPLY_TO_EMAIL = env.text("REPLY_TO_EMAIL")
# Where bounces go: an address of which each letter gets a variant (VERP); empty: the sender's. With
# an empty delimiter, all letters have the same.
BOUNCE_ADDRESS = env.text("BOUNCE_ADDRESS")
RECIPIENT_DELIMITER = env.text("RECIPIENT_DELIMITER") if env.is_set("RECIPIENT_DELIMITER") else "+"
# Where bounces are read, if no mail server pipes them in: maildir:/…, mbox:/… or imaps://…
BOUNCE_MAILBOX = env.text("BOUNCE_MAILBOX")
# What authenticates the webhook of a mail provider: the password in its URL (user:password), and
# the key that it signs with, if it does.
WEBHOOK_SECRET = env.text("WEBHOOK_SECRET")
WEBHOOK_SIGNING_KEY = env.text("WEBHOOK_SIGNING_KEY")
# How often a letter may be sent again after an unknown outcome: 1, or 0 for never.
MAX_REPEATS = int(env.flag("REPEAT_UNKNOWN", default=True))
POSTAL_ADDRESS = env.text("POSTAL_ADDRESS")  # In the footer of emails, and on the imprint.
# How long a letter's events are kept after its end, and the letter with its digest and picks. Picks
# say which papers a subscriber has had, and papers may come again for two months.
KEEP_EVENTS = env.days("KEEP_EVENTS_DAYS", 90)
KEEP_LETTERS = env.days("KEEP_LETTERS_DAYS", 400, 90, "papers are sent twice")
KEEP_TRAIL = env.days("KEEP_TRAIL_DAYS", 400)  # The audit log of the admin.
# Only subscriptions.delivery sends emails.
MAILERS = {}
SILENCED_SYSTEM_CHECKS = ["mail.W001"]

# ---- The digest

PLANNERS = env.whole_number("PLANNERS", 1)  # So many processes may plan digests at once.
NEW_DAYS = env.whole_number("NEW_DAYS", 7)  # Papers of so many days go into a first digest.
if KEEP_LETTERS.days < NEW_DAYS:
    raise ImproperlyConfigured(
        f"NEW_DAYS is {NEW_DAYS}. Use KEEP_LETTERS_DAYS at most, or papers are sent twice."
    )
CORPUS_DAYS = env.whole_number("CORPUS_DAYS", 90)  # The model is fitted on so many days.
# Changes to digest.ranking.parameters.Parameters.
RANKING = env.numbers("RANKING", example="cut=0.5")
# The model of sentence embeddings: none, a folder, or a name on the Hugging Face Hub.
SEMANTIC_MODEL = env.text("SEMANTIC_MODEL")

# A language model that summarises picked papers: an API like OpenAI's. See docs/email.md.
LLM_URL = env.web_address("LLM_URL").rstrip("/")
LLM_MODEL = env.text("LLM_MODEL")
LLM_API_KEY = env.text("LLM_API_KEY")
LLM_CALLS_A_DAY = env.whole_number("LLM_CALLS_A_DAY", 1_000)
if bool(LLM_URL) != bool(LLM_MODEL):
    raise ImproperlyConfigured("LLM_URL and LLM_MODEL belong together. Set both, or none.")

# ---- The sources

# Where set, these two win over the panel.
SOURCES = env.items("SOURCES") if env.is_set("SOURCES") else None
ARXIV_CATEGORIES = env.items("ARXIV_CATEGORIES")
# Days without announcements that the rules of digest/sources/arxiv/calendar.py don't know.
ARXIV_HOLIDAYS = env.day_changes("ARXIV_HOLIDAYS")
# Hosts that feeds and webhooks may have although their addresses are private.
ALLOWED_PRIVATE_HOSTS = frozenset(env.items("ALLOWED_PRIVATE_HOSTS"))
LOOK_UPS = env.flag("LOOK_UPS", default=True)  # Of papers that subscribers add: see docs/site.md.
# How long after their hour a digest waits for a source that is late.
HARVEST_GRACE = timedelta(minutes=env.whole_number("HARVEST_GRACE_MINUTES", 60))
ZOTERO_KEY = env.text("ZOTERO_KEY")  # Of `manage.py once`: reads a library that is not public.
KEEP_OBSERVATIONS = env.days("KEEP_OBSERVATIONS_DAYS", 365)
KEEP_HARVESTS = env.days("KEEP_HARVESTS_DAYS", 90, 14, "missed days are lost")
KEEP_RESPONSES = env.days("KEEP_RESPONSES_DAYS", 7)
# Papers that nobody got, saved or added.
KEEP_PAPERS = env.days("KEEP_PAPERS_DAYS", 365, 90, "new papers are deleted")

# ---- Monitoring: see digest/operations/alarms.py

ALARM_WEBHOOK = env.web_address("ALARM_WEBHOOK", is_secret=True)  # Gets {"text": …}.
# Digests not planned and letters not sent so long after they were due are an alarm.
ALARM_LATE = timedelta(minutes=env.whole_number("ALARM_LATE_MINUTES", 15))

# Authorises to read /metrics. Empty: nobody can.
METRICS_TOKEN = env.text("METRICS_TOKEN")
if 0 < len(METRICS_TOKEN) < 16:
    raise ImproperlyConfigured("METRICS_TOKEN is too short. Use at least 16 characters.")

# ---- Celery: see config/celery.py

CELERY_BROKER_URL = env.broker("CELERY_BROKER_URL", "memory://localhost/")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "ingest"
CELERY_TASK_ROUTES = {
    "digest.tasks.plan_digests": {"queue": "tick"},
    "digest.tasks.watch": {"queue": "tick"},
    "subscriptions.tasks.deliver_due_letters": {"queue": "tick"},
    "subscriptions.tasks.deliver_*": {"queue": "send"},
}
CELERY_TASK_TIME_LIMIT = 840  # Under the lease of a claimed letter, which is 900 s.
CELERY_BEAT_SCHEDULER = "config.beat_scheduler:Scheduler"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# While Redis is down, pages still respond at once: the letter waits in the database.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2}
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "global_keyprefix": "paperboy:",
        "visibility_timeout": 1800,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        # No retry by redis-py: if Redis is back at once, it would reconnect inside the worker's
        # event loop and wait there for ever. kombu reconnects by itself.
    }
    if CELERY_BROKER_URL.startswith(("redis:", "rediss:"))
    else {"polling_interval": 0.2}
)

# ---- Security

CSRF_FAILURE_VIEW = "config.error_views.csrf_failure"
CSRF_TRUSTED_ORIGINS = [SITE_URL] if IS_HTTPS else []
# How many proxies there are, or in which networks.
TRUSTED_PROXIES = client_ip.parse_proxies(env.items("TRUSTED_PROXIES"))
# The header in which a proxy names the user of the panel: see docs/security.md.
REMOTE_USER_HEADER = client_ip.header_key(env.text("REMOTE_USER_HEADER"), TRUSTED_PROXIES)
PASSWORD_LOG_IN = env.flag("PASSWORD_LOG_IN", default=True)
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"] * PASSWORD_LOG_IN
if REMOTE_USER_HEADER:
    MIDDLEWARE.append("subscriptions.admin.log_in.RemoteUserMiddleware")
    AUTHENTICATION_BACKENDS.append("subscriptions.admin.log_in.RemoteUserBackend")
elif not PASSWORD_LOG_IN:
    raise ImproperlyConfigured("Without PASSWORD_LOG_IN, set REMOTE_USER_HEADER to log in.")
DEFAULT_EXCEPTION_REPORTER_FILTER = "config.middleware.SettingsFilter"
# Rate limits: see subscriptions/security/rate_limits.py and docs/security.md.
LIMITS = env.whole_numbers(
    "LIMITS",
    {
        "network": 20,  # Letters that a network requests per hour and endpoint.
        "all": 500,  # The same over all networks.
        "mailbox": 3,  # Letters to a mailbox per day because somebody typed its address.
        "invitations": 500,  # Of operators, per day.
        "passwords": 5,  # Wrong ones from a network in 15 minutes.
        "account": 10,  # Wrong ones for an account in 15 minutes, over all networks.
    },
)
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000  # Bytes of a request's body.
# In the admin. Public forms take none: see config.middleware.
DATA_UPLOAD_MAX_NUMBER_FILES = 1
FILE_UPLOAD_HANDLERS = ["config.middleware.AdminFileHandler"]
if IS_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    # The proxy redirects to https; only the operator knows if all subdomains are https.
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
if BRAND_STYLE:  # The only inline style of pages.
    hashed = b64encode(sha256(BRAND_STYLE.encode()).digest()).decode()
    SECURE_CSP["style-src"].append(f"'sha256-{hashed}'")
if "://" in LOGO_URL:
    SECURE_CSP["img-src"].append("{0.scheme}://{0.netloc}".format(urlsplit(LOGO_URL)))
# Unfold evaluates expressions in attributes (Alpine) and styles its widgets inline.
ADMIN_CSP = SECURE_CSP | {
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "script-src": [CSP.SELF, CSP.UNSAFE_INLINE, CSP.UNSAFE_EVAL],
    "frame-src": [CSP.SELF],
    "frame-ancestors": [CSP.SELF],
}
LOGIN_REDIRECT_URL = "admin:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword")
]

# ---- Logging

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
    "filters": {"context": {"()": LogContext}, "refused": {"()": RefusedRequests}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["context", "refused"],
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        # config.log_format logs missing pages without their path.
        "django.request": {"level": "ERROR"},
        # Or gunicorn would use its own format.
        "gunicorn.error": {"handlers": [], "propagate": True},
        # They log URLs, also those that a server redirects to: a webhook's is secret.
        "httpcore2": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "bibtexparser": {"level": "CRITICAL"},  # It logs each broken entry; the page shows them.
        "pylatexenc": {"level": "ERROR"},  # It logs each broken formula, which is shown raw.
    },
}

# ---- The admin

UNFOLD = {
    "SITE_TITLE": SITE_NAME,
    "SITE_HEADER": SITE_NAME,
    "SITE_SUBHEADER": "Admin panel, times in UTC",
    "SITE_ICON": lambda request: static("favicon.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("favicon.svg")}
    ],
    "STYLES": [lambda request: static("admin.css")],
    "BORDER_RADIUS": "6px",
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": admin_menu.COLORS,
    "DASHBOARD_CALLBACK": "digest.admin.dashboard.dashboard",
    "SIDEBAR": {"navigation": admin_menu.NAVIGATION},
}

# In CSV, a spreadsheet runs a cell that begins with =. digest/topics/topic_files.py excepts YAML
# and JSON.
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True

# ---- Environment variables that look like misspelt settings

MISSPELT_SETTINGS = env.misspelt_variables()
