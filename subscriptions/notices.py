"""The letters about the subscription itself."""

from subscriptions import links, mail


def compose_confirm(letter, now):
    """Ask whether the address's owner wants the digest; to one who has it, say so instead.

    The page that signs up answers both alike: who reads papers here is told by mail alone.
    """
    subscriber = letter.subscriber
    already = subscriber.state_at(now) in ("active", "paused")
    return mail.render(
        "confirm",
        {
            "already": already,
            "confirm_url": links.confirm_url(subscriber),
            "preferences_url": links.preferences_url(subscriber),
            "days": links.CONFIRM_DAYS,
        },
    )
