"""What readers say of papers."""

from digest.models import Feedback


def say(subscriber, paper, value: str, now) -> None:
    """Write down what she says of a paper; "clear" takes it back. Said twice is said once."""
    if value == "clear":
        Feedback.objects.filter(subscriber=subscriber, paper=paper).delete()
        return
    Feedback.objects.update_or_create(
        subscriber=subscriber,
        paper=paper,
        defaults={"value": value},
        create_defaults={"value": value, "at": now},
    )


def said(subscriber, paper) -> str:
    """Return what she has said of a paper, or nothing."""
    found = Feedback.objects.filter(subscriber=subscriber, paper=paper)
    return found.values_list("value", flat=True).first() or ""
