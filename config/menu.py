"""The admin panel's colours and menu, as Unfold takes them."""

from django.urls import reverse_lazy

# The greys and the blue of the public pages, as scales.
COLORS = {
    "base": {
        "50": "#fbfbf9",
        "100": "#f1f1ee",
        "200": "#dfe0dc",
        "300": "#c9cbc8",
        "400": "#969ba3",
        "500": "#6b7079",
        "600": "#4d525a",
        "700": "#33373d",
        "800": "#272b30",
        "900": "#1c1f23",
        "950": "#15171a",
    },
    "primary": {
        "50": "oklch(97.5% .008 257)",
        "100": "oklch(95% .018 257)",
        "200": "oklch(90% .04 257)",
        "300": "oklch(83% .075 257)",
        "400": "oklch(76% .1 257)",
        "500": "oklch(70% .12 257)",
        "600": "oklch(43.1% .121 257)",
        "700": "oklch(38% .107 257)",
        "800": "oklch(35.2% .098 257)",
        "900": "oklch(30% .085 257)",
        "950": "oklch(24% .065 257)",
    },
}


def page(title, icon, name, permission=None):
    """Return an entry of the menu, for those who may see its page."""
    if permission is None:
        room, table, _ = name.split("_", 2)
        permission = f"{room}.view_{table}"
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{name}"),
        "permission": lambda request: not permission or request.user.has_perm(permission),
    }


NAVIGATION = [
    {"items": [page("Today", "today", "index", "")]},
    {
        "title": "Readers",
        "items": [
            page("Subscribers", "group", "subscriptions_subscriber_changelist"),
            page("Topics", "label", "subscriptions_topic_changelist"),
            page("Sealed addresses", "lock", "subscriptions_seal_changelist"),
        ],
    },
    {
        "title": "Papers",
        "items": [
            page("Papers", "article", "digest_paper_changelist"),
            page("Models", "model_training", "digest_fittedmodel_changelist"),
        ],
    },
    {
        "title": "Sources",
        "items": [
            page("Harvests", "agriculture", "digest_harvest_changelist"),
            page("Coverage", "fact_check", "digest_coverage_changelist"),
        ],
    },
    {
        "title": "Post",
        "items": [
            page("Digests", "stacked_email", "digest_digest_changelist"),
            page("Letters", "mail", "subscriptions_letter_changelist"),
            page("Came back", "undo", "subscriptions_letterfact_changelist"),
            page("Sending", "outgoing_mail", "subscriptions_sending_changelist"),
        ],
    },
    {
        "title": "Panel",
        "items": [
            page("Operators", "manage_accounts", "auth_user_changelist"),
            page("Trail", "history", "admin_logentry_changelist"),
        ],
    },
]
