"""The admin panel's colours and menu, as Unfold takes them."""

from django.urls import reverse_lazy

SHADES = ("50", "100", "200", "300", "400", "500", "600", "700", "800", "900", "950")
GREYS = "#fbfbf9 #f1f1ee #dfe0dc #c9cbc8 #969ba3 #6b7079 #4d525a #33373d #272b30 #1c1f23 #15171a"
#: Lightness and chroma, as oklch() has them.
BLUES = (
    "97.5% .008, 95% .018, 90% .04, 83% .075, 76% .1, 70% .12, 43.1% .121, 38% .107, 35.2% .098, "
    "30% .085, 24% .065"
)
#: The greys and the blue of the public pages, as scales.
COLORS = {
    "base": dict(zip(SHADES, GREYS.split(), strict=True)),
    "primary": {
        shade: f"oklch({blue} 257)" for shade, blue in zip(SHADES, BLUES.split(", "), strict=True)
    },
}


def _page(title, icon, name):
    """Return a menu entry, visible to users with permission to view its page."""
    app, table, *_ = name.split("_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{table}"),
    }


PAGES = [
    {"title": "Today", "icon": "today", "link": reverse_lazy("admin:index")},
    _page("Subscribers", "group", "subscriptions_subscriber"),
    _page("Groups", "diversity_3", "subscriptions_group"),
    _page("Channels", "forum", "subscriptions_channel"),
    _page("Messages", "campaign", "subscriptions_message"),
    _page("Topics", "label", "subscriptions_topic"),
    _page("Papers", "article", "digest_paper"),
    _page("Sources", "rss_feed", "digest_sourceconfig"),
    _page("Digests", "stacked_email", "digest_digest"),
    _page("Emails", "mail", "subscriptions_letter"),
    _page("Sending", "outgoing_mail", "subscriptions_sending"),
]
ADVANCED = [
    _page("Imports", "download", "digest_harvest"),
    _page("Coverage", "fact_check", "digest_coverage"),
    _page("Ranking models", "model_training", "digest_fittedmodel"),
    _page("Delivery reports", "undo", "subscriptions_letterfact"),
    _page("Blocked addresses", "block", "subscriptions_seal"),
    _page("Users", "manage_accounts", "auth_user"),
    _page("Audit log", "history", "admin_logentry"),
]
NAVIGATION = [{"items": PAGES}, {"title": "Advanced", "collapsible": True, "items": ADVANCED}]
