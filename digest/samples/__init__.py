"""Real papers with summaries written for Paperboy, for a new installation.

There is a file for each field of research. Ids, titles, authors, categories and upvotes are as
published. The `abstract` is a summary in our own words, not the paper's abstract.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from digest.papers import store
from digest.sources import import_files

FOLDER = Path(__file__).parent
DAYS = 10


def store_samples(today: date, now, field="computer-science") -> int:
    """Store a field's sample papers, spread over the DAYS days until today. Return their number."""
    path = FOLDER / f"{field}.jsonl"

    def refuse(number, reason):
        raise ValueError(f"{path.name}, line {number}: {reason}")

    records = list(import_files.read(path, on_bad_line=refuse, on_bytes=lambda count: None))
    dated = [
        replace(record, day=today - timedelta(days=number % DAYS))
        for number, record in enumerate(records)
    ]
    store.store(dated, now=now, replaces_days=True, is_sample=True)
    return len(dated)
