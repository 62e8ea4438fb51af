"""Who may do what in the panel: three roles, which are Django's groups.

`migrate` makes them, and makes them again what they are here, so that a table of a new version is
in the right ones. What somebody else puts into a group of one of these names, goes. A superuser
needs no role.
"""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

OPERATOR, CURATOR, VIEWER = "operator", "curator", "viewer"
ROOMS = ("digest", "subscriptions")

#: What is seen without meeting any reader: counts, papers, and where they come from.
SEEN = ("figures", "alarm", "paper", "harvest", "coverage", "fittedmodel")
VIEWED = [f"digest.view_{name}" for name in SEEN]
#: What a curator has besides.
CURATED = [f"subscriptions.{act}_topic" for act in ("view", "add", "change", "delete")]
#: What an operator has besides all of both rooms. What he may make of others: admin/operators.py.
KEPT = [*(f"auth.{act}_user" for act in ("view", "add", "change", "delete")), "admin.view_logentry"]


def keep(**kwargs) -> None:
    """Make the roles, and their permissions those that are told here."""
    roles = {
        OPERATOR: Q(content_type__app_label__in=ROOMS) | _named(KEPT),
        CURATOR: _named(VIEWED) | _named(CURATED),
        VIEWER: _named(VIEWED),
    }
    for name, condition in roles.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(Permission.objects.filter(condition))


def _named(permissions) -> Q:
    condition = Q(pk__in=[])
    for permission in permissions:
        room, codename = permission.split(".")
        condition |= Q(content_type__app_label=room, codename=codename)
    return condition
