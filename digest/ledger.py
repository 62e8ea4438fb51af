"""What was sent to whom, kept true when the post office ends a letter or a reader asks for hers."""

from digest.models import Pick


def take_back_picks(letter_ids):
    """Free the papers of letters that surely never left, so that a later digest may carry them."""
    Pick.objects.filter(digest__letter__in=letter_ids).delete()


def export(subscriber):
    """Return the papers that were sent to a subscriber, with the reasons."""
    picks = Pick.objects.filter(subscriber=subscriber).order_by("pk")
    return {
        "papers": [
            {"day": pick.digest.day, "paper": pick.paper_id, "why": pick.why}
            for pick in picks.select_related("digest")
        ]
    }
