"""Makers with defaults: a test names only what matters to it.

Nothing here goes through sign-up, so a made subscriber has no confirmation letter lying about.
"""

from datetime import UTC, datetime, timedelta
from itertools import count

from django.utils.text import slugify

from digest.models import Harvest, Paper
from subscriptions import hooks
from subscriptions.actions.signup import ConsentSource
from subscriptions.mail import render
from subscriptions.models import Group, Message, Subscriber, Topic

#: A Monday noon. The clock that the views read stands at it too (see conftest.py).
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY, TODAY = timedelta(days=1), NOW.date()
YESTERDAY = TODAY - DAY
CONSENT_SOURCE = ConsentSource("test")

_number = count(1)
one_by_one = hooks.one_by_one


def subscriber(email=None, *, interests="", topics=(), muted=(), confirmed=True, now=NOW, **fields):
    """Make a subscriber whose digest is due now. `interests` are their own topics, one a line."""
    fields.setdefault("confirmed_at", now if confirmed else None)
    fields.setdefault("next_due_at", now if confirmed else None)
    email = email or f"reader-{next(_number)}@example.org"
    made = Subscriber.objects.create(email=email, **{"asked_at": now} | fields)
    own = [Topic.objects.create(name=q[:200], query=q, owner=made) for q in interests.splitlines()]
    for followed in [*topics, *own]:
        made.preferences.create(topic=followed)
    for topic in muted:
        made.preferences.create(topic=topic, stance="mute")
    return made


def topic(name=None, **fields):
    """Make a curated topic, whose query is its name."""
    name = name or f"Topic {next(_number)}"
    defaults = {"name": name, "slug": slugify(name)[:80], "query": name}
    return Topic.objects.create(**defaults | fields)


def group(name=None, **fields):
    """Make a group without members."""
    return Group.objects.create(name=name or f"Group {next(_number)}", **fields)


def member(group, name="", of=None, *, now=NOW, **fields):
    """Make a membership of a subscriber, `of`: joined with this name, or invited without one."""
    fields = {"invited_at": now, "joined_at": now if name else None} | fields
    return group.memberships.create(subscriber=of or subscriber(), name=name, **fields)


def message(subject="Maintenance", *, now=NOW, **fields):
    """Make a message to all subscribers that starts now."""
    defaults = {"text": "Back on Monday.", "written_by": "ada", "receivers": 1, "starts_at": now}
    return Message.objects.create(subject=subject, **defaults | fields)


def about(subject):
    """Return an abstract that is long enough for its words to count in full."""
    return (
        f"We study {subject}: we describe a method, compare it with earlier work and discuss "
        "results, limits and uses."
    )


def paper(title=None, abstract=None, *, day=None, upvotes=None, now=NOW, **fields):
    """Make a paper of today, by default with an abstract about its title."""
    number = next(_number)
    defaults = {"id": f"2606.{number:05}", "day": day or now.date(), "changed_at": now}
    title = title or f"Paper {number}"
    if abstract is None:
        abstract = about(title.lower())
    fields = defaults | fields
    return Paper.objects.create(title=title, abstract=abstract, upvotes=upvotes, **fields)


def harvest(source="arxiv", at=NOW, **fields):
    """Make a run of a source, which is done."""
    moments = {"today": at.date(), "started_at": at, "touched_at": at}
    return Harvest.objects.create(source=source, **{"state": "done"} | moments | fields)


def fresh(row):
    """Return the row as the database has it now."""
    row.refresh_from_db()
    return row


def composed(letter, now):
    """Return what one letter says. Raises what its composer yields in its place."""
    (content,) = hooks.composers[letter.kind]([letter], now)
    if isinstance(content, Exception):
        raise content
    return content


def content(subject="Papers"):
    """Make the content of a digest in a word, which takes templates elsewhere."""
    headers = render.headers("digest", "http://x/")
    return render.Content.of(subject, "Hello.\n", "<p>Hello.</p>", headers)
