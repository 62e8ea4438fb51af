"""How many there are of something, as commands and the panel say it in English."""


def counted(number: int, one: str, many: str = "") -> str:
    """Return the number and what it counts.

    >>> counted(1, "digest"), counted(1200, "digest"), counted(0, "day was", "days were")
    ('1 digest', '1,200 digests', '0 days were')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
