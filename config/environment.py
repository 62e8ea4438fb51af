"""Read the environment: flags, lists, numbers, and a secret that is made where none is given.

What makes no sense is refused with ImproperlyConfigured, in a sentence that says what would.
What a variable says may stand in a file, too: SECRET_KEY_FILE names the file that holds SECRET_KEY.
Docker's secrets are such files, and so is what a service manager hands on as credentials.
"""

import difflib
import os
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from kombu.transport import TRANSPORT_ALIASES

ENGINES = ("django.db.backends.postgresql", "django.db.backends.sqlite3")
#: A name without scheme, port and path, as requests have it; a dot before it takes in all below it.
HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9a-f:.]+\]", re.ASCII | re.IGNORECASE)
COUNTED = 10**9  # What a database's numbers can count to.
ALIKE = 0.85  # So like two names are of which one has a slip: difflib's 1 is the same.
MOST = 36_500  # A hundred years, in days: where no year is left to go back to, Python raises.

_SIGN = "Take it away, and let the mail server sign: docs/mail.md says how."
#: Variables that are gone, each with what to write instead.
REMOVED = {"DKIM_KEY_FILE": _SIGN, "DKIM_SELECTOR": _SIGN, "DKIM_DOMAIN": _SIGN}

_names: set[str] = set()  # All that was asked for, which is all that can be set.


def text(name: str, default: str = "") -> str:
    """Return what the variable says, or the file that NAME_FILE names; the default without both.

    Blanks around it are none of it, such as those of a file that was written on Windows.
    """
    _names.update((name, f"{name}_FILE"))
    said, path = (os.environ.get(one, "").strip() for one in (name, f"{name}_FILE"))
    if not path:
        return said or default
    if said:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: take one away.")
    try:
        said = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it holds no text"
        raise ImproperlyConfigured(f"{name}_FILE is {path}, which can't be read: {why}.") from None
    if not said:
        raise ImproperlyConfigured(f"{name}_FILE is {path}, which is empty.")
    return said


def is_set(name: str) -> bool:
    """Return whether the variable is there, if only to say nothing, or a file is named for it."""
    return name in os.environ or bool(os.environ.get(f"{name}_FILE"))


def refuse_removed() -> None:
    """Refuse variables that older versions read, with what to write instead."""
    for name, instead in REMOVED.items():
        for one in (name, f"{name}_FILE"):
            if os.environ.get(one, "").strip():
                raise ImproperlyConfigured(f"{one} is no longer read. {instead}")


def slips() -> list[tuple[str, str]]:
    """Return variables that nothing reads, each with the one whose name it nearly has."""
    unknown = sorted(os.environ.keys() - _names)
    likely = [(name, difflib.get_close_matches(name, _names, 1, ALIKE)) for name in unknown]
    return [(name, meant[0]) for name, meant in likely if meant]


def flag(name: str, *, default: bool = False) -> bool:
    """Return whether the variable says yes. A word that is neither yes nor no is refused."""
    word = text(name).lower()
    if not word:
        return default
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {word!r}.")


def items(name: str) -> list[str]:
    """Return the parts of a variable, between commas. In a file, each may have its own line."""
    return [part.strip() for part in text(name).replace("\n", ",").split(",") if part.strip()]


def whole_number(name: str, default: int) -> int:
    """Return the variable, days or minutes, as a whole number above zero."""
    number = text(name, str(default))
    if not number.isdecimal() or int(number) < 1:
        raise ImproperlyConfigured(f"{name} must be a whole number above zero, not {number!r}.")
    if int(number) > MOST:
        raise ImproperlyConfigured(f"{name} must be {MOST} at most, not {number}.")
    return int(number)


def numbers(name: str, example: str) -> dict[str, float]:
    """Return the variable as names with numbers between commas, each as in the example."""
    found = {}
    for item in items(name):
        key, _, number = item.partition("=")
        try:
            found[key.strip()] = float(number)
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} must be like {example}, with a number after the sign, not {item!r}."
            ) from None
    return found


def whole_numbers(name: str, defaults: dict[str, int]) -> dict[str, int]:
    """Return the defaults with those that the variable changes, as in "network=50, all=5000"."""
    said = numbers(name, ",".join(f"{key}={number}" for key, number in defaults.items()))
    changed = {key: int(number) for key, number in said.items() if number.is_integer()}
    for item in items(name):
        key = item.partition("=")[0].strip()
        if key not in defaults or not 1 <= changed.get(key, 0) <= COUNTED:
            known = ", ".join(defaults)
            raise ImproperlyConfigured(
                f"{name} must be whole numbers above zero for {known}, up to a billion: not "
                f"{item!r}."
            )
    return defaults | changed


def web_address(name: str, default: str = "", *, is_secret: bool = False) -> str:
    """Return the variable as an address of the web, or "". A secret one is not repeated."""
    address = text(name, default)
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # A port that is no number, brackets that are left open.
        is_good = False
    if address and not is_good:
        given = "" if is_secret else f", not {address!r}"
        raise ImproperlyConfigured(f"{name} must be an http(s) address{given}.")
    return address


def email_address(name: str) -> str:
    """Return the variable as an email address that stands alone, as a link does, or ""."""
    address = text(name)
    try:
        if address:
            validate_email(address)
    except ValidationError:
        raise ImproperlyConfigured(
            f"{name} must be like hello@example.org, not {address!r}."
        ) from None
    return address


def site_address(name: str, default: str) -> str:
    """Return the variable as the address of a whole host, without a slash at its end."""
    address = web_address(name, default)
    parts = urlsplit(address)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise ImproperlyConfigured(
            f"{name} must be like https://papers.example.org, with nothing behind the host: pages "
            f"stand at its root."
        )
    return address.rstrip("/")


def hosts(name: str) -> list[str]:
    """Return the hosts that the variable names. What no request can name is refused."""
    named = items(name)
    for host in named:
        if not HOST.fullmatch(host):
            raise ImproperlyConfigured(
                f"{name} must be names between commas, such as papers.example.org,127.0.0.1, "
                f"without https:// and port (international ones in their xn-- form), not {host!r}."
            )
    return named


def broker(name: str, default: str) -> str:
    """Return the variable as the address of a broker. No password is repeated."""
    address = text(name, default)
    scheme, sign, _ = address.partition("://")
    if address.startswith(("redis:", "rediss:")):
        is_good = _leads_to_redis(address)
    else:  # Celery takes what has no scheme for the name of a host that speaks AMQP.
        is_known = sign and scheme.partition("+")[0] in TRANSPORT_ALIASES
        is_good = address.startswith("memory:") or is_known
    if not is_good:
        raise ImproperlyConfigured(
            f"{name} must be like redis://:password@host:6379/0. What is no letter and no digit in "
            f"a password stands there as %23 for # does."
        )
    return address


def cache(name: str) -> str:
    """Return the variable as the address of a Redis, or "" where it is empty."""
    address = text(name)
    if address and not (address.startswith("unix://") or _leads_to_redis(address)):
        raise ImproperlyConfigured(f"{name} must be like redis://host:6379/1.")
    return address


def _leads_to_redis(address):
    try:
        parts = urlsplit(address)
        is_there = parts.port != 0 and not parts.fragment
    except ValueError:
        return False
    is_numbered = re.fullmatch(r"/?\d*", parts.path, re.ASCII) is not None
    return is_there and is_numbered and address.startswith(("redis://", "rediss://"))


def database(name: str, default: str) -> dict[str, Any]:
    """Return the database that the variable names, as Django wants it. No password is repeated."""
    try:
        parsed = dj_database_url.parse(
            text(name) or default, conn_max_age=60, conn_health_checks=True
        )
    except ValueError:
        parsed = {}
    is_named = bool(parsed.get("NAME") or parsed.get("OPTIONS", {}).get("service"))
    if parsed.get("ENGINE") not in ENGINES or not is_named:
        raise ImproperlyConfigured(
            f"{name} must be like postgres://user:password@host/name. What is no letter and no "
            f"digit in a password stands there as %23 for # does."
        )
    return parsed


def generated_secret(path: Path) -> str:
    """Return the secret in `path`, which is written first where it isn't there.

    Only its owner can read it. Two processes that start at once both use the one that was first.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(50))
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"No key can be kept in {path} ({error.strerror}): let this user read and write there, "
            f"or name another folder as DATA_DIR."
        ) from None


def _write_once(path, secret):
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
    try:
        os.link(draft, path)  # Unlike a rename, fails where another process came first.
    except FileExistsError:
        pass
    finally:
        draft.unlink()
