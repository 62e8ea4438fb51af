"""Numbers in words."""

from django.utils import formats


def grouped(count: int) -> str:
    """Return a number with the language's thousands separator: 1,043 or 1.043."""
    return f"{count:,}".replace(",", formats.get_format("THOUSAND_SEPARATOR"))


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return the number and what it counts, in English, for commands and the panel.

    >>> counted(1, "digest"), counted(1200, "digest"), counted(0, "day was", "days were")
    ('1 digest', '1,200 digests', '0 days were')
    """
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
