"""How the post stands, in words and figures for whoever runs it."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Min, Q
from django.utils.formats import date_format

from subscriptions.models import Letter, LetterFact, Provider
from subscriptions.post import sending
from subscriptions.post.providers import provider_of

State = Letter.State

TROUBLES = {
    "unreachable": "The mail server can't be reached, or takes nothing",
    "auth": "The mail server does not let us in",
    "tls": "There is no safe connection to the mail server",
}


@dataclass(frozen=True)
class Standing:
    """Whether letters leave. `grade` is on, tripped (a pause that ends by itself) or stopped."""

    grade: str
    said: str


def of_sending(now: datetime) -> Standing:
    """Return whether letters leave at this moment, in whole sentences."""
    row = sending.current()
    if row.stopped_at:
        return Standing(
            "stopped", f"Sending was stopped {_at(row.stopped_at)} by {row.stopped_by}."
        )
    if not row.trouble:
        return Standing("on", "Sending is on.")
    often = f" ({row.failures} times in a row)" if row.failures > 1 else ""
    said = f"{TROUBLES[row.trouble]}{often}: {row.said.rstrip('.')}."
    if row.retry_at is None or row.retry_at <= now:
        return Standing("tripped", f"{said} The next try is due.")
    return Standing("tripped", f"{said} The next try is {_at(row.retry_at)}.")


@dataclass(frozen=True)
class Queue:
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
    found = {row["state"]: row for row in rows}
    return [
        Queue(state, State(state).label, found[state]["count"], _first(**found[state]))
        for state in Letter.OPEN
        if state in found
    ]


def _first(state, count, due, next, lease):
    if state == State.PLANNED and due:
        return f"{due:,} due, the first since {utc(next)}"
    if state == State.PLANNED:
        return f"the first is due {_at(next)}"
    if state == State.UNCERTAIN:
        return f"the first is asked for {_at(next)}"
    return f"the first lease ends {_at(lease)}"


def slowed(now: datetime) -> list[tuple[Provider, str]]:
    """Return the providers that get letters at a pace, or none for now, and what is so in words."""
    rows = [(row, _pace(row, now)) for row in Provider.objects.order_by("name")]
    return [(row, said) for row, said in rows if said]


def _pace(row, now):
    parts = []
    if row.held_until is not None and row.held_until > now:
        parts.append(f"nothing until {utc(row.held_until)}")
    if (limit := row.limit()) is not None:
        parts.append(f"{limit:,.0f} letters a minute")
    if parts and row.said:
        parts.append(f"it said: {row.said}")
    return "; ".join(parts)


def of_letter(letter: Letter, now: datetime) -> str:
    """Return what happens with a letter, in sentences: what is known, and what comes next."""
    return TOLD[letter.state](letter, now)


def _planned(letter, now):
    standing = of_sending(now)
    if standing.grade == "stopped":
        return f"It waits: {_lower(standing.said)}"
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


def _claimed(letter, now):
    return f"A worker is writing it, and has it until {utc(letter.lease_until)}."


def _transmitting(letter, now):
    return (
        f"The mail server got all of it {_at(letter.left_at)}, and has not said yes yet. "
        f"Its answer is waited for until {utc(letter.lease_until)}."
    )


def _uncertain(letter, now):
    if letter.repeats >= settings.MAX_REPEATS:
        then = "Where nobody can say then, its story ends so, and its papers don't come again."
    else:
        then = "Where nobody can say then, it is sent once more, the very same."
    asked = f"it will be asked for {_at(letter.next_try_at)}"
    return f"Nobody knows yet whether it arrived; {asked}. {then}"


def _accepted(letter, now):
    said = f"The mail server took it {_at(letter.ended_at)}."
    if letter.repeats:
        said += " Nobody knew whether an earlier try arrived: she may have it twice, the very same."
    return " ".join([said, *(_of_fact(fact) for fact in letter.facts.order_by("noted_at", "pk"))])


def _of_fact(fact):
    said = f": {fact.said.rstrip('.')}" if fact.said else ""
    return f"{FACTS[fact.kind]} {_at(fact.at or fact.noted_at)}{said}."


def _skipped(letter, now):
    return f"It was not sent: {letter.reason}."


def _failed(letter, now):
    if letter.reason.startswith(Letter.UNKNOWN):
        return "Nobody knows whether it arrived, and it is not sent again."
    return f"It could not be sent: {letter.reason.rstrip('.')}."


def _missed(letter, now):
    return f"Its day ended before it could leave, {_at(letter.closes_at)}."


FACTS = {
    LetterFact.Kind.RELAYED: "It was handed on",
    LetterFact.Kind.DELAYED: "It was delayed",
    LetterFact.Kind.DELIVERED: "It was delivered",
    LetterFact.Kind.BOUNCED: "It came back",
    LetterFact.Kind.COMPLAINED: "It was reported as unwanted",
    LetterFact.Kind.UNSUBSCRIBED: "She unsubscribed with the mail provider",
}
TOLD = {
    State.PLANNED: _planned,
    State.CLAIMED: _claimed,
    State.TRANSMITTING: _transmitting,
    State.UNCERTAIN: _uncertain,
    State.ACCEPTED: _accepted,
    State.SKIPPED: _skipped,
    State.FAILED: _failed,
    State.MISSED: _missed,
}


def _at(moment):
    return f"on {date_format(moment, 'j F Y')} at {moment:%H:%M} UTC"


def utc(moment):
    """Return a moment as what operators read tells it."""
    return f"{moment:%H:%M} UTC on {date_format(moment, 'j F Y')}"


def _lower(sentence):
    return sentence[:1].lower() + sentence[1:]
