"""Email addresses: validated, and normalised to be stored and compared."""

import re
import unicodedata
from difflib import get_close_matches

import idna
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _

MAX_LENGTH = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
is_address = EmailValidator(
    message=_("This doesn’t look like an email address, such as you@example.org."),
    allowlist=[],  # Django's has localhost.
)

#: Domains that people mistype.
USUAL_DOMAINS = (
    *("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com"),
    *("protonmail.com", "aol.com", "gmx.de", "web.de", "t-online.de"),
)
#: Domains that look like those, and are none.
OTHER_DOMAINS = {"mail.com", "ymail.com", "email.com", "gmx.net", "gmx.com"}
MIN_SIMILARITY = 0.84  # Of a misspelling (difflib): "gmial.com", but not "hotmail.co.uk".
#: Domains whose mailboxes are those of another domain.
ALIAS_DOMAINS = {
    "gmail.com": "googlemail.com",
    "icloud.com": "mac.com me.com",
    "proton.me": "pm.me protonmail.ch protonmail.com",
    "yandex.ru": "narod.ru ya.ru yandex.az yandex.by yandex.co.il yandex.com yandex.com.am "
    "yandex.com.ge yandex.com.tr yandex.ee yandex.fr yandex.kg yandex.kz yandex.lt yandex.lv "
    "yandex.md yandex.tj yandex.tm yandex.ua yandex.uz",
}
MAIN_DOMAINS = {alias: main for main, aliases in ALIAS_DOMAINS.items() for alias in aliases.split()}
#: Fastmail delivers tag@you.fastmail.com to you@fastmail.com, at all of its domains.
SUBDOMAIN_ADDRESS = re.compile(
    r"(?:.+\.)?([^.]+)\.(fastmail\.[a-z.]+|(?:123mail|imapmail|mailworks|speedymail)\.org|f-m\.fm|"
    r"(?:airpost|ftml|mailc|mailforce|mailsent|ml1|ownmail|speedpost|warpmail)\.net|fea\.st|"
    r"(?:eml|imap)\.cc|fmail\.co\.uk|mm\.st|sent\.(?:as|at|com)|(?:emailplus|fmgirl|fmguy|mailbolt|"
    r"mailcan|mailhaven|mailmight|myfastmail|proinbox|promessage|rushpost|xsmail)\.(?:com|org))"
)
#: Yahoo has names without hyphens, and disposable addresses such as name-tag@yahoo.com.
HYPHEN_TAGS = re.compile(r"yahoo\.[a-z.]+|(?:myyahoo|rocketmail|y7mail|ymail)\.com")


def normalise(text: str) -> str:
    """Return the address as it is stored: one Unicode form, the domain in lower-case ASCII.

    The case of the local part is kept, but ignored when subscribers are compared
    (Subscriber.Meta.constraints). Raises ValidationError.
    """
    address = unicodedata.normalize("NFKC", text).strip()
    local, at_sign, domain = address.rpartition("@")
    # Nobody has these: a quoted local part can hide blanks and controls, and "=?" begins an
    # encoded word (RFC 2047), which a header would show as something else.
    if not at_sign or '"' in local or "=?" in local:
        raise ValidationError(is_address.message, code="invalid")
    if not local.isascii():
        raise ValidationError(
            _(
                "The part before the @ has a letter that most mail servers cannot deliver to. "
                "Please use an address whose first part is written in letters from a to z, digits "
                "and signs."
            ),
            code="local_part",
        )
    try:
        domain = idna.encode(domain.rstrip("."), uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValidationError(
            _("The part after the @ can’t receive email. Check it for typos."), code="domain"
        ) from None
    address = f"{local}@{domain}"
    is_address(address)
    if len(address) > MAX_LENGTH or len(local) > 64:
        raise ValidationError(_("This address is too long to be delivered to."), code="length")
    return address


def readable(address: str) -> str:
    """Return the address as people write it, with its international domain in its own script."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{idna.decode(domain)}"
    except idna.IDNAError:
        return address


def mailbox(address: str) -> str:
    """Return what the spellings of one mailbox have in common, for rate limits.

    Big providers deliver you+tag@, y.o.u@ and y-o_u@ to you@. Elsewhere these may be several
    people, so this is never used to compare subscribers.
    """
    local, _, domain = address.lower().rpartition("@")
    if match := SUBDOMAIN_ADDRESS.fullmatch(domain):
        local, domain = match.groups()
    domain = MAIN_DOMAINS.get(domain, domain)
    name = re.split("[+-]" if HYPHEN_TAGS.fullmatch(domain) else "[+]", local)[0]
    return f"{re.sub('[._-]', '', name) or local}@{domain}"


def suggestion(address: str) -> str:
    """Return the usual domain that the domain of an address is a misspelling of, or "".

    static/address.js asks likewise, before the form is sent.
    """
    domain = address.rpartition("@")[2].lower()
    has_country = domain.startswith(tuple(f"{usual}." for usual in USUAL_DOMAINS))  # hotmail.com.br
    is_real = has_country or domain in USUAL_DOMAINS or domain in OTHER_DOMAINS
    matches = [] if is_real else get_close_matches(domain, USUAL_DOMAINS, 1, MIN_SIMILARITY)
    return matches[0] if matches else ""
