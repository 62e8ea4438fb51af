"""The admin log-in, which is locked for a while after too many wrong passwords.

They are counted by network, and by account over all networks. The limit by network is lower:
whoever guesses from one network is locked out before the account is, whose owner can still log in.
While locked, the right password is refused as well. It unlocks by itself, or by `manage.py unlock`.

With REMOTE_USER_HEADER, a proxy names the user instead.
"""

import logging
import re
from datetime import timedelta
from unicodedata import normalize

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.auth import backends, middleware
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone

from subscriptions.security import rate_limits
from subscriptions.security.rate_limits import Limit

logger = logging.getLogger(__name__)

ENDPOINT = "log-in"
LOCK_PERIOD = timedelta(minutes=15)
USERNAME = re.compile(r"[\w.@+-]+", re.ASCII)


class RemoteUserMiddleware(middleware.RemoteUserMiddleware):
    """Log in to the panel whoever REMOTE_USER_HEADER names.

    config.client_ip has removed the header unless a trusted proxy sent it. A proxy may remove the
    visitor's own header under /admin/ only, as the request spells it: not under /%61dmin/.
    """

    def process_request(self, request):
        if request.path.startswith("/admin/"):
            super().process_request(request)

    def get_username(self, request):
        name = request.META[settings.REMOTE_USER_HEADER]
        # Of gunicorn, and of waitress and others.
        raw_path = request.META.get("RAW_URI") or request.META.get("REQUEST_URI", "")
        # A comma joins doubled headers.
        if not (raw_path.startswith("/admin/") and USERNAME.fullmatch(name)):
            raise KeyError(settings.REMOTE_USER_HEADER)
        return name


class RemoteUserBackend(backends.RemoteUserBackend):
    create_unknown_user = False

    def authenticate(self, request, remote_user):
        user = super().authenticate(request, remote_user)
        if user is not None:
            _log(user, "Logged in by the proxy", request)
        return user


def log_in(request) -> HttpResponse:
    """Log in as the admin does, unless there were too many wrong passwords before.

    Without PASSWORD_LOG_IN, there is no form for those whom the proxy did not log in. Raises
    TooManyAttempts.
    """
    if not settings.PASSWORD_LOG_IN and not admin.site.has_permission(request):
        raise PermissionDenied
    if request.method != "POST":
        return admin.site.login(request)
    account_limit = _account_limit(request.POST.get("username", ""))
    network_limit = _network_limit(request.META["REMOTE_ADDR"])
    try:
        # Counted before it is checked, so that concurrent guesses do not exceed the limit.
        attempts = rate_limits.hit(ENDPOINT, [network_limit, account_limit], timezone.now())
    except rate_limits.TooManyAttempts as refusal:
        if rate_limits.first_time_in(LOCK_PERIOD, f"{ENDPOINT} by {refusal.kind}", timezone.now()):
            logger.warning("Log-in locked after too many wrong passwords, by %s", refusal.kind)
            if owner := owner_of(account_limit.value):
                _log(owner, f"Locked out: too many wrong passwords, by {refusal.kind}", request)
        raise
    response = admin.site.login(request)
    if response.status_code == 302:  # `request.user` may be somebody who was logged in before.
        rate_limits.undo(attempts)
        rate_limits.reset(ENDPOINT, account_limit)
        _log(request.user, "Logged in", request)
    return response


def _log(user, text, request):
    """Add an entry to the audit log, with the network."""
    network = rate_limits.network_of(request.META["REMOTE_ADDR"])
    LogEntry.objects.create(
        user=user,
        content_type=get_content_type_for_model(user),
        object_id=user.pk,
        object_repr=str(user),
        action_flag=CHANGE,
        change_message=f"{text}, from {network}.",
    )


def owner_of(account: str) -> User | None:
    """Return the user of this name, whatever its spelling."""
    # SQLite ignores the case of ASCII letters only.
    has_name = Q(username__iexact=_account_limit(account).value) | Q(username=account.strip())
    return User.objects.filter(has_name).first()


def unlock(account: str, ip: str | None) -> int:
    """Forget the wrong passwords of this account and this network. Return how many."""
    limits = (_account_limit(account), _network_limit(ip))
    return sum(rate_limits.reset(ENDPOINT, limit) for limit in limits)


def _network_limit(ip):
    return Limit("network", rate_limits.network_of(ip), settings.LIMITS["passwords"], LOCK_PERIOD)


def _account_limit(name):
    # Normalised, as Django's form takes several spellings for one account.
    name = normalize("NFKC", name.strip()).casefold()
    return Limit("account", name, settings.LIMITS["account"], LOCK_PERIOD)
