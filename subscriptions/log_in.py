"""The panel's log-in, which is locked for a while after too many wrong passwords.

They are counted by network, and by account over all networks: who guesses from one network locks
himself out before he locks the account, whose owner can still come in from hers. While it is
locked, the right password opens nothing either. Time unlocks it, or `manage.py unlock`.
"""

import logging
from datetime import timedelta
from unicodedata import normalize

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpResponse
from django.utils import timezone

from subscriptions import limits, views
from subscriptions.limits import Limit

logger = logging.getLogger(__name__)

DOOR = "log-in"
WITHIN = timedelta(minutes=15)


def log_in(request) -> HttpResponse:
    """Answer as the panel does, unless too many came before with a wrong password."""
    if request.method != "POST":
        return admin.site.login(request)
    account = _by_account(request.POST.get("username", ""))
    tried = [_by_network(request.META["REMOTE_ADDR"]), account]
    try:
        # Counted before it is looked at, so that many guesses at once are no more than so many.
        attempts = limits.spend(DOOR, tried, timezone.now())
    except limits.TooMany as refusal:
        if limits.once_in(WITHIN, f"{DOOR} by {refusal.by}", timezone.now()):
            logger.warning("The log-in is locked: too many wrong passwords, by %s.", refusal.by)
            if owner := owner_of(account.value):
                _note(owner, f"Locked out: too many wrong passwords, by {refusal.by}", request)
        return views.too_many(request, refusal)
    response = admin.site.login(request)
    if response.status_code == 302:  # Not request.user, who may have been in before as another.
        limits.take_back(attempts)
        limits.forget(DOOR, account)
        _note(request.user, "Logged in", request)
    return response


def _note(user, words, request):
    """Write it into the trail, with the network it came from."""
    network = limits.network_of(request.META["REMOTE_ADDR"])
    LogEntry.objects.create(
        user=user,
        content_type=get_content_type_for_model(user),
        object_id=user.pk,
        object_repr=str(user),
        action_flag=CHANGE,
        change_message=f"{words}, from {network}.",
    )


def owner_of(account: str) -> User | None:
    """Return the user of the account with this name, however it is spelt."""
    # SQLite knows the case of ASCII alone.
    named = Q(username__iexact=_by_account(account).value) | Q(username=account.strip())
    return User.objects.filter(named).first()


def unlock(account: str, ip: str | None) -> int:
    """Forget wrong passwords for this account and from this network. Return how many there were."""
    return limits.forget(DOOR, _by_account(account)) + limits.forget(DOOR, _by_network(ip))


def _by_network(ip):
    return Limit("network", limits.network_of(ip), settings.LIMITS["passwords"], WITHIN)


def _by_account(name):
    """All spellings that Django's form takes for one account are one."""
    name = normalize("NFKC", name.strip()).casefold()
    return Limit("account", name, settings.LIMITS["account"], WITHIN)
