"""How the post stands, in words and figures for whoever runs it."""

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Min, Q
from django.utils.formats import date_format

from subscriptions.delivery import circuit_breaker
from subscriptions.delivery.throttling import provider_of
from subscriptions.models import Letter, LetterFact, Provider

State = Letter.State

TROUBLES = {
    "unreachable": "The mail server can't be reached, or takes nothing",
    "auth": "The mail server does not let us in",
    "tls": "There is no safe connection to the mail server",
}


class Standing(NamedTuple):
    """Whether letters leave. `grade` is on, tripped (a pause that ends by itself) or stopped."""

    grade: str
    said: str


def of_sending(now: datetime) -> Standing:
    """Return whether letters leave at this moment, in whole sentences."""
    row = circuit_breaker.current()
    if row.stopped_at:
        said = f"Sending was stopped {_at(row.stopped_at)} by {row.stopped_by}."
        return Standing("stopped", said)
    if not row.trouble:
        return Standing("on", "Sending is on.")
    often = f" ({row.failures} times in a row)" if row.failures > 1 else ""
    said = f"{TROUBLES[row.trouble]}{often}: {row.said.rstrip('.')}."
    if row.retry_at is None or row.retry_at <= now:
        return Standing("tripped", f"{said} The next try is due.")
    return Standing("tripped", f"{said} The next try is {_at(row.retry_at)}.")


class Queue(NamedTuple):
    """How many letters are in an open state, and what the first of them waits for."""

    state: str
    label: str
    count: int
    said: str


def queues(now: datetime) -> list[Queue]:
    """Return the letters whose story has not ended, by state."""
    groups = Letter.objects.open().values("state")
    rows = groups.annotate(
        count=Count("pk"),
        due=Count("pk", filter=Q(next_try_at__lte=now)),
        next=Min("next_try_at"),
        lease=Min("lease_until"),
    )
    found = []
    for row in sorted(rows, key=lambda row: Letter.OPEN.index(row["state"])):
        match row["state"]:
            case State.PLANNED if row["due"]:
                said = f"{row['due']:,} due, the first since {utc(row['next'])}"
            case State.PLANNED:
                said = f"the first is due {_at(row['next'])}"
            case State.UNCERTAIN:
                said = f"the first is asked for {_at(row['next'])}"
            case _:
                said = f"the first lease ends {_at(row['lease'])}"
        found.append(Queue(row["state"], State(row["state"]).label, row["count"], said))
    return found


def slowed(now: datetime) -> list[tuple[Provider, str]]:
    """Return the providers that get letters at a pace, or none for now, and what is so in words."""
    found = []
    for row in Provider.objects.order_by("name"):
        parts = []
        if row.held_until is not None and row.held_until > now:
            parts.append(f"nothing until {utc(row.held_until)}")
        if (limit := row.limit()) is not None:
            parts.append(f"{limit:,.0f} letters a minute")
        if parts and row.said:
            parts.append(f"it said: {row.said}")
        if parts:
            found.append((row, "; ".join(parts)))
    return found


def of_letter(letter: Letter, now: datetime) -> str:
    """Return what happens with a letter, in sentences: what is known, and what comes next."""
    match letter.state:
        case State.PLANNED:
            return _planned(letter, now)
        case State.CLAIMED:
            return f"A worker is writing it, and has it until {utc(letter.lease_until)}."
        case State.TRANSMITTING:
            return (
                f"The mail server got all of it {_at(letter.left_at)}, and has not said yes yet. "
                f"Its answer is waited for until {utc(letter.lease_until)}."
            )
        case State.UNCERTAIN:
            then = "Where nobody can say then, it is sent once more, the very same."
            if letter.repeats >= settings.MAX_REPEATS:
                then = (
                    "Where nobody can say then, its story ends so, and its papers don't come again."
                )
            asked = f"it will be asked for {_at(letter.next_try_at)}"
            return f"Nobody knows yet whether it arrived; {asked}. {then}"
        case State.ACCEPTED:
            return _accepted(letter)
        case State.SKIPPED:
            return f"It was not sent: {letter.reason}."
        case State.FAILED if letter.reason.startswith(Letter.UNKNOWN):
            return "Nobody knows whether it arrived, and it is not sent again."
        case State.FAILED:
            return f"It could not be sent: {letter.reason.rstrip('.')}."
        case State.MISSED:
            return f"Its day ended before it could leave, {_at(letter.closes_at)}."


def _planned(letter, now):
    standing = of_sending(now)
    if standing.grade == "stopped":
        return f"It waits: {standing.said[0].lower()}{standing.said[1:]}"
    provider = Provider.objects.filter(
        name=provider_of(letter.recipient), held_until__gt=now
    ).first()
    if provider is not None:
        return (
            f"It waits: {provider.name} takes nothing until {utc(provider.held_until)}. "
            f"It will be tried {_at(letter.next_try_at)}."
        )
    if standing.grade == "tripped":
        return f"It waits. {standing.said}"
    if letter.next_try_at > now:
        again = "tried again" if letter.attempt else "tried"
        return f"It will be {again} {_at(letter.next_try_at)}."
    return f"It is due since {utc(letter.next_try_at)}, and waits for its turn."


def _accepted(letter):
    told = [f"The mail server took it {_at(letter.ended_at)}."]
    if letter.repeats:
        told.append(
            "Nobody knew whether an earlier try arrived: she may have it twice, the very same."
        )
    for fact in letter.facts.order_by("noted_at", "pk"):
        said = f": {fact.said.rstrip('.')}" if fact.said else ""
        told.append(f"{FACTS[fact.kind]} {_at(fact.at or fact.noted_at)}{said}.")
    return " ".join(told)


FACTS = {
    LetterFact.Kind.RELAYED: "It was handed on",
    LetterFact.Kind.DELAYED: "It was delayed",
    LetterFact.Kind.DELIVERED: "It was delivered",
    LetterFact.Kind.BOUNCED: "It came back",
    LetterFact.Kind.COMPLAINED: "It was reported as unwanted",
    LetterFact.Kind.UNSUBSCRIBED: "She unsubscribed with the mail provider",
}


def _at(moment):
    return f"on {date_format(moment, 'j F Y')} at {moment:%H:%M} UTC"


def utc(moment):
    """Return a moment as what operators read tells it."""
    return f"{moment:%H:%M} UTC on {date_format(moment, 'j F Y')}"
