"""Real papers with summaries written for Paperboy, for a new installation.

`papers.jsonl` has published ids, titles, dates, authors, categories and upvotes. Its `abstract` is
a summary in our own words, not the paper's abstract.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from digest.papers import store
from digest.sources import import_files

PAPERS = Path(__file__).parent / "papers.jsonl"
DAYS = 10


def store_samples(today: date, now) -> int:
    """Store the sample papers, spread over the DAYS days until today. Return their number."""

    def refuse(number, reason):
        raise ValueError(f"{PAPERS.name}, line {number}: {reason}")

    records = list(import_files.read(PAPERS, on_bad_line=refuse, on_bytes=lambda count: None))
    dated = [
        replace(record, day=today - timedelta(days=number % DAYS))
        for number, record in enumerate(records)
    ]
    store.store(dated, now=now, shift=timedelta(0), is_sample=True)
    return len(dated)
