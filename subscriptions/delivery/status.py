"""The state of delivery, in words and figures for the operator."""

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Min, Q
from django.utils.formats import date_format

from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter, LetterFact

State = Letter.State

TROUBLES = {
    "unreachable": "The mail server is unreachable or refuses emails",
    "auth": "The mail server refuses user or password",
    "tls": "The mail server offers no secure connection",
}


class SendingStatus(NamedTuple):
    """Whether letters are sent. `grade` is on, tripped (the breaker's pause) or stopped."""

    grade: str
    text: str


def sending_status(now: datetime) -> SendingStatus:
    """Return whether letters are sent now, in whole sentences."""
    sending = circuit_breaker.current()
    if sending.stopped_at:
        text = f"Sending was stopped at {utc(sending.stopped_at)} by {sending.stopped_by}."
        return SendingStatus("stopped", text)
    if not sending.trouble:
        return SendingStatus("on", "Sending is on.")
    repeats = f" ({sending.failures} times in a row)" if sending.failures > 1 else ""
    is_due = sending.retry_at is None or sending.retry_at <= now
    next_step = (
        "The next attempt is due." if is_due else f"Next attempt at {utc(sending.retry_at)}."
    )
    text = f"{TROUBLES[sending.trouble]}{repeats}: {sending.reply.rstrip('.')}. {next_step}"
    return SendingStatus("tripped", text)


class Queue(NamedTuple):
    """How many letters are in an open state, and when the first is due."""

    state: str
    label: str
    count: int
    text: str


def queues(now: datetime) -> list[Queue]:
    """Return the open letters by state."""
    groups = Letter.objects.open().values("state")
    rows = groups.annotate(
        count=Count("pk"),
        due=Count("pk", filter=Q(next_try_at__lte=now)),
        next=Min("next_try_at"),
        lease=Min("lease_until"),
    )
    open_queues = []
    for row in sorted(rows, key=lambda row: Letter.OPEN.index(row["state"])):
        match row["state"]:
            case State.PLANNED if row["due"]:
                text = f"{row['due']:,} due, the first since {utc(row['next'])}"
            case State.PLANNED:
                text = f"the first is due at {utc(row['next'])}"
            case State.UNCERTAIN:
                text = f"the first is checked at {utc(row['next'])}"
            case _:
                text = f"the first lease ends at {utc(row['lease'])}"
        open_queues.append(Queue(row["state"], State(row["state"]).label, row["count"], text))
    return open_queues


#: What is known of a letter in each state, and what happens next.
SENTENCES = {
    State.CLAIMED: "A worker is writing it, and has it until {lease_until}.",
    State.TRANSMITTING: (
        "The {server} got all of it at {left_at}, and has not answered yet. The worker waits until "
        "{lease_until}."
    ),
    State.UNCERTAIN: "Nobody knows whether it arrived. {step} at {next_try_at}.",
    State.SKIPPED: "It was not sent: {reason}.",
    State.FAILED: "It could not be sent: {reason}.",
    State.MISSED: "Its day ended before it could leave, at {closes_at}.",
}


def describe(letter: Letter, now: datetime) -> str:
    """Return what is known of a letter, and what happens next, in sentences."""
    server = "channel" if letter.subscriber.channel else "mail server"
    if letter.state == State.PLANNED:
        return _describe_planned(letter, now)
    if letter.state == State.ACCEPTED:
        return _describe_accepted(letter, server)
    if letter.state == State.FAILED and letter.reason.startswith(Letter.UNKNOWN):
        return "Nobody knows whether it arrived, and it is not sent again."
    is_last = letter.repeats >= settings.MAX_REPEATS
    step = "Delivery ends" if is_last else "The same bytes are sent once more"
    fields = ("lease_until", "left_at", "next_try_at", "closes_at")
    moments = {name: utc(getattr(letter, name)) for name in fields if getattr(letter, name)}
    values = {"server": server, "step": step, "reason": letter.reason.rstrip(".")}
    return SENTENCES[letter.state].format(**moments, **values)


def _describe_planned(letter, now):
    sending = sending_status(now)
    if sending.grade == "stopped":
        return f"It waits: {sending.text[0].lower()}{sending.text[1:]}"
    if sending.grade == "tripped" and not letter.subscriber.channel:
        return f"It waits. {sending.text}"
    if letter.next_try_at > now:
        verb = "tried again" if letter.attempt else "tried"
        return f"It will be {verb} at {utc(letter.next_try_at)}."
    return f"It is due since {utc(letter.next_try_at)}, and waits for its turn."


def _describe_accepted(letter, server):
    if letter.reason == Letter.COUNTED_AS_SENT:
        return f"It was {letter.reason}: nobody knows whether it was sent."
    sentences = [f"The {server} accepted it at {utc(letter.ended_at)}."]
    if letter.repeats:
        sentences += ["It was unknown whether an earlier attempt arrived: they may get it twice."]
    for fact in letter.facts.order_by("noted_at", "pk"):
        reply = f": {fact.reply.rstrip('.')}" if fact.reply else ""
        sentences.append(f"{FACT_SENTENCES[fact.kind]} at {utc(fact.at or fact.noted_at)}{reply}.")
    return " ".join(sentences)


FACT_SENTENCES = {
    LetterFact.Kind.RELAYED: "It was relayed",
    LetterFact.Kind.DELAYED: "It was delayed",
    LetterFact.Kind.DELIVERED: "It was delivered",
    LetterFact.Kind.BOUNCED: "It bounced",
    LetterFact.Kind.COMPLAINED: "It was reported as spam",
    LetterFact.Kind.UNSUBSCRIBED: "They unsubscribed at the mail provider",
}


def utc(moment):
    """Return a moment as operators read it."""
    return f"{moment:%H:%M} UTC on {date_format(moment, 'j F Y')}"
