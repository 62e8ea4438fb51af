"""A subscriber's reading list: saved papers with a state, a note and labels, and its files."""

import csv
import io
import re

from digest.models import Feedback
from digest.papers import citations, venues
from subscriptions.mail.plaintext import one_line

MAX_NOTE_LENGTH = 280
MAX_LABELS = 5
MAX_LABEL_LENGTH = 30

STATES = ("unread", "read")


def saved_papers(subscriber) -> list[Feedback]:
    """Return the saved papers with their feedback, the latest first."""
    rows = subscriber.feedback.saved().select_related("paper")
    return sorted(rows, key=lambda row: (row.saved_at, row.pk), reverse=True)


def filter_rows(rows, state="", label="", q="") -> list[Feedback]:
    """Filter saved papers. Each word of `q` must be in the title, the note or a label."""
    words = q.casefold().split()
    return [
        row
        for row in rows
        if (state not in STATES or (state == "read") == bool(row.read_at))
        and (not label or label in row.label_list)
        and all(word in f"{row.paper.title}\n{row.note}\n{row.labels}".casefold() for word in words)
    ]


def normalize_labels(text: str) -> str:
    """Return labels as they are stored, from text with commas.

    Duplicates and labels after the fifth are left out, longer ones are cut.
    """
    labels = (one_line(label)[:MAX_LABEL_LENGTH].strip() for label in text.split(","))
    return ", ".join(list(dict.fromkeys(filter(None, labels)))[:MAX_LABELS])


def annotate(subscriber, paper, *, note: str, labels: str) -> None:
    """Set the note and the labels of a saved paper. Ignores other papers."""
    fields = {"note": one_line(note)[:MAX_NOTE_LENGTH], "labels": normalize_labels(labels)}
    subscriber.feedback.saved().filter(paper=paper).update(**fields)


def mark_read(subscriber, paper, at) -> None:
    """Set when a saved paper was read; None marks it as unread. Ignores other papers."""
    subscriber.feedback.saved().filter(paper=paper).update(read_at=at)


# ---- Files


def bibtex(rows) -> str:
    return citations.bibtex([row.paper for row in rows])


def ris(rows) -> str:
    return citations.ris([row.paper for row in rows])


def markdown(rows) -> str:
    """Return a list of tasks, of which the papers that were read are checked."""
    lines = []
    for row in rows:
        paper = row.paper
        title = _escape_markdown(paper.title)
        link = f"[{title}](<{_escape_address(paper.link)}>)" if paper.link else title
        details = paper.byline, venues.venue(paper), citations.year(paper)
        details = ", ".join(map(_escape_markdown, filter(None, details)))
        lines.append(f"- [{'x' if row.read_at else ' '}] {link}. {details}.")
        if row.labels:
            lines[-1] += f" *{_escape_markdown(row.labels)}*"
        if row.note:
            lines.append(f"  {_escape_markdown(row.note)}")
    return "".join(f"{line}\n" for line in lines)


def table(rows) -> str:
    """Return the papers as CSV. Cells that a spreadsheet would compute begin with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    header = ["id", "title", "authors", "year", "venue", "doi", "url", "saved", "read"]
    writer.writerow([*header, "labels", "note"])
    for row in rows:
        paper = row.paper
        read_day = row.read_at.date() if row.read_at else ""
        cells = [paper.pk, paper.title, "; ".join(paper.authors), citations.year(paper)]
        cells += [venues.venue(paper), paper.first_doi, paper.link]
        cells += [row.saved_at.date(), read_day]
        writer.writerow(map(_escape_cell, [*cells, row.labels, row.note]))
    return file.getvalue()


def _escape_cell(value):
    text = one_line(str(value or ""))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _escape_markdown(text):
    return re.sub(r"([\\`*_\[\]<>#|~!&$])", r"\\\1", one_line(str(text)))


def _escape_address(url):
    return one_line(url).replace("<", "%3C").replace(">", "%3E").replace("\\", "%5C")
