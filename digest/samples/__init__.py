"""Real papers with summaries written for Paperboy, for a new installation.

Ids, titles, authors, categories and upvotes are as published. The `abstract` is a summary in our
own words, not the paper's abstract.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from digest.papers import store
from digest.sources import import_files

PATH = Path(__file__).parent / "computer-science.jsonl"
DAYS, DAYS_AHEAD = 10, 2  # So that there is a digest tomorrow, and the day after.


def store_samples(today: date, now) -> int:
    """Store the sample papers, spread over the DAYS days until today and the DAYS_AHEAD after it.

    Return their number.
    """

    def refuse(number, reason):
        raise ValueError(f"{PATH.name}, line {number}: {reason}")

    records = list(import_files.read(PATH, on_bad_line=refuse, on_bytes=lambda count: None))
    last = today + timedelta(days=DAYS_AHEAD)
    dated = [
        replace(record, day=last - timedelta(days=number % (DAYS + DAYS_AHEAD)))
        for number, record in enumerate(records)
    ]
    store.store(dated, now=now, replaces_days=True, is_sample=True)
    return len(dated)
