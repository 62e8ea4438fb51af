"""Real papers with summaries written for Paperboy, for a new installation to show.

`papers.jsonl` has ids, titles, dates, authors, categories and upvotes as they were published; what
isn't known stays empty. Its `abstract` is a summary in our own words, not the paper's abstract.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from digest import storing
from digest.sources import files

PAPERS = Path(__file__).parent / "papers.jsonl"
DAYS = 10


def lay_out(today: date, now) -> int:
    """Store the sample papers, dealt out over the DAYS days that end today. Return how many."""

    def refuse(number, reason):
        raise ValueError(f"{PAPERS.name}, line {number}: {reason}")

    records = list(files.read(PAPERS, on_bad_line=refuse, on_bytes=lambda count: None))
    dealt = [
        replace(record, day=today - timedelta(days=place % DAYS))
        for place, record in enumerate(records)
    ]
    storing.store(dealt, now=now, shift=timedelta(0), is_sample=True)
    return len(dealt)
