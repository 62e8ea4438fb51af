"""Read settings from environment variables.

Every function raises ImproperlyConfigured for a wrong value. A value may also be in a file, such as
a Docker secret or a credential of a service manager: SECRET_KEY_FILE is the path of SECRET_KEY.
"""

import difflib
import os
import re
import secrets
import sys
import tempfile
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from kombu.transport import TRANSPORT_ALIASES

ENGINES = ("django.db.backends.postgresql", "django.db.backends.sqlite3")
#: A host name without scheme, port and path. A leading dot includes subdomains.
HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9a-f:.]+\]", re.ASCII | re.IGNORECASE)
#: A path on this site, which needs no escapes.
PATH = re.compile(r"/[\w-][\w./-]*", re.ASCII)
MAX_COUNT = 10**9  # Fits a database integer.
MIN_SIMILARITY = 0.85  # Of a misspelt name (difflib's ratio).
MAX_NUMBER = 36_500  # A hundred years in days: Python's dates end at year 1.

#: Variables that are refused, each with what to do instead.
REMOVED_VARIABLES = {
    "DELIVERY_LOOKUP": "Remove it: an email of unknown outcome is sent once more.",
    "PROVIDER_RATES": "Remove it, and limit the rate in your mail server (docs/email.md).",
}

#: The exit code after which gunicorn does not start its workers again.
GUNICORN_GIVES_UP = 3

_read_names: set[str] = set()  # Names of variables that were read.


@contextmanager
def exit_on_bad_settings(code: int = 1):
    """Exit on ImproperlyConfigured, with its message. --traceback shows where, too."""
    try:
        yield
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.stderr.write(f"Settings: {error}\n")  # In one write: other processes may write there.
        sys.exit(code)


def text(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file in NAME_FILE, or the default. Stripped."""
    _read_names.update((name, f"{name}_FILE"))
    value = os.environ.get(name, "").strip()
    path = os.environ.get(f"{name}_FILE", "").strip()
    if not path:
        return value or default
    if value:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set. Remove one.")
    try:
        value = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ImproperlyConfigured(f"Cannot read {path} ({name}_FILE): {reason}.") from None
    if not value:
        raise ImproperlyConfigured(f"The file {path} ({name}_FILE) is empty.")
    return value


def is_set(name: str) -> bool:
    """Return whether the variable is set, even if empty, or has a file."""
    return name in os.environ or bool(os.environ.get(f"{name}_FILE"))


def refuse_removed() -> None:
    """Raise ImproperlyConfigured for variables that are no longer read."""
    for name, advice in REMOVED_VARIABLES.items():
        if os.environ.get(name, "").strip():
            raise ImproperlyConfigured(f"{name} is no longer read. {advice}")


def misspelt_variables() -> list[tuple[str, str]]:
    """Return variables that nothing reads, each with the setting of nearly the same name."""
    return [
        (name, setting)
        for name in sorted(os.environ.keys() - _read_names)
        for setting in difflib.get_close_matches(name, _read_names, 1, MIN_SIMILARITY)
    ]


def flag(name: str, *, default: bool = False) -> bool:
    word = text(name).lower()
    if not word:
        return default
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {word!r}.")


def items(name: str) -> list[str]:
    """Return the parts of a variable between commas or line ends."""
    return [part.strip() for part in text(name).replace("\n", ",").split(",") if part.strip()]


def whole_number(name: str, default: int, minimum: int = 1, harm: str = "") -> int:
    """Return the variable as a whole number above zero.

    `harm` says what a number below `minimum` would do.
    """
    number = text(name, str(default))
    if not number.isdecimal() or int(number) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number above zero, not {number!r}.")
    if int(number) > MAX_NUMBER:
        raise ImproperlyConfigured(f"{name} must be at most {MAX_NUMBER}, not {number}.")
    if int(number) < minimum:
        raise ImproperlyConfigured(f"{name} is {number}. Use {minimum} or more, or {harm}.")
    return int(number)


def days(name: str, default: int, minimum: int = 1, harm: str = "") -> timedelta:
    return timedelta(days=whole_number(name, default, minimum, harm))


def numbers(name: str, example: str) -> dict[str, float]:
    """Return the variable as names with numbers: "google=600, gmx=60".

    `example` is shown in the error message. It is no default.
    """
    numbers_by_key = {}
    for item in items(name):
        key, _, number = item.partition("=")
        try:
            numbers_by_key[key.strip()] = float(number)
        except ValueError:
            raise ImproperlyConfigured(f"{name} must be like {example}, not {item!r}.") from None
    return numbers_by_key


def whole_numbers(name: str, defaults: dict[str, int]) -> dict[str, int]:
    """Return the defaults with the variable's changes: "network=50, all=5000"."""
    changes = numbers(name, ",".join(f"{key}={number}" for key, number in defaults.items()))
    for key, number in changes.items():
        if key not in defaults or not number.is_integer() or not 1 <= number <= MAX_COUNT:
            raise ImproperlyConfigured(
                f"{name} must be whole numbers from 1 to a billion for {', '.join(defaults)}, not "
                f"{key}={number:g}."
            )
    return defaults | {key: int(number) for key, number in changes.items()}


def day_changes(name: str) -> dict[date, bool]:
    """Return the days that the variable adds (True) or removes: "+2026-12-29 -2027-01-18"."""
    changes = text(name).replace(",", " ")
    try:
        return {date.fromisoformat(day[1:]): bool("-+".index(day[0])) for day in changes.split()}
    except ValueError:
        message = f"{name} must be like +2026-12-29 -2027-01-18, not {changes!r}."
        raise ImproperlyConfigured(message) from None


def web_address(name: str, default: str = "", *, is_secret: bool = False) -> str:
    """Return the variable as an http(s) URL, or "". Errors do not repeat a secret one."""
    address = text(name, default)
    try:
        parts = urlsplit(address)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # A wrong port, or an open bracket.
        is_valid = False
    if address and not is_valid:
        quote = "" if is_secret else f", not {address!r}"
        raise ImproperlyConfigured(f"{name} must be an http(s) URL{quote}.")
    return address


def path_or_address(name: str) -> str:
    """Return the variable as an http(s) URL, or as a path on this site, or ""."""
    if PATH.fullmatch(text(name)):
        return text(name)
    return web_address(name)


def doi_address(name: str) -> str:
    """Return the variable as an http(s) URL with the place of a DOI, or ""."""
    template = text(name)
    if template and "{doi}" not in template:
        raise ImproperlyConfigured(f"{name} must be like https://libkey.io/{{doi}}, with {{doi}}.")
    return web_address(name)


def email_address(name: str) -> str:
    """Return the variable as an email address without a name, or ""."""
    address = text(name)
    try:
        if address:
            validate_email(address)
    except ValidationError:
        message = f"{name} must be like hello@example.org, not {address!r}."
        raise ImproperlyConfigured(message) from None
    return address


def site_address(name: str, default: str) -> str:
    """Return the variable as the URL of a host, without path and trailing slash."""
    address = web_address(name, default)
    parts = urlsplit(address)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise ImproperlyConfigured(f"{name} must be like https://example.org, without a path.")
    return address.rstrip("/")


def hosts(name: str) -> list[str]:
    names = items(name)
    for host in names:
        if not HOST.fullmatch(host):
            raise ImproperlyConfigured(
                f"{name} must be host names with commas, such as papers.example.org,127.0.0.1, "
                f"without https:// and port (international names in xn-- form), not {host!r}."
            )
    return names


def broker(name: str, default: str) -> str:
    """Return the variable as a broker URL. Errors do not repeat the password."""
    address = text(name, default)
    scheme, separator, _ = address.partition("://")
    if address.startswith(("redis:", "rediss:")):
        is_valid = _is_redis_url(address)
    else:  # Celery takes a URL without scheme for an AMQP host.
        is_celery_url = separator and scheme.partition("+")[0] in TRANSPORT_ALIASES
        is_valid = address.startswith("memory:") or is_celery_url
    if not is_valid:
        raise ImproperlyConfigured(
            f"{name} must be like redis://:password@host:6379/0. Percent-encode special characters "
            f"in the password: # is %23."
        )
    return address


def cache(name: str) -> str:
    """Return the variable as a Redis URL, or ""."""
    address = text(name)
    if address and not (address.startswith("unix://") or _is_redis_url(address)):
        raise ImproperlyConfigured(f"{name} must be like redis://host:6379/1.")
    return address


def _is_redis_url(address):
    try:
        parts = urlsplit(address)
        has_valid_port = parts.port != 0 and not parts.fragment
    except ValueError:
        return False
    has_numeric_path = re.fullmatch(r"/?\d*", parts.path, re.ASCII) is not None
    return has_valid_port and has_numeric_path and address.startswith(("redis://", "rediss://"))


def database(name: str, default: str) -> dict[str, Any]:
    """Return the database for DATABASES. Errors do not repeat the password."""
    url = text(name, default)
    try:
        config = dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)
    except ValueError:
        config = {}
    has_name = bool(config.get("NAME") or config.get("OPTIONS", {}).get("service"))
    if config.get("ENGINE") not in ENGINES or not has_name:
        raise ImproperlyConfigured(
            f"{name} must be like postgres://user:password@host/name. Percent-encode special "
            f"characters in the password: # is %23."
        )
    return config


def generated_secret(path: Path) -> str:
    """Return the secret in `path`, made if it is missing. Only its owner can read the file.

    Two processes that start at once both use the first one's.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # Mode 600.
                draft.write(secrets.token_urlsafe(50))
                draft.flush()
                with suppress(FileExistsError):  # Unlike a rename, if another process was first.
                    os.link(draft.name, path)
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"Cannot store the secret key in {path} ({error.strerror}). Give this user access, or "
            f"set DATA_DIR to another folder."
        ) from None
