"""What sources have in common that have a list for each day, in pages."""

from datetime import date


def day_of(cursor: str, today: date) -> date | None:
    """Return the day at which a cursor says to go on, or None where it says nothing."""
    try:
        day = date.fromisoformat(cursor)
    except ValueError:
        return None
    return day if day <= today else None


def pages(count: int) -> str:
    """Return how many pages there were, in words."""
    return f"{count} page{'s' if count != 1 else ''}"
