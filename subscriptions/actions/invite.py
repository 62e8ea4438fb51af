"""Invitations of people and mailing lists by operators.

An address gets one email and one reminder at most, whoever invites. A keyed hash on the suppression
list outlives the subscriber. Every function is idempotent. The reasons for refusing an address are
in invite.toml.
"""

import csv
import re
import tomllib
from datetime import timedelta
from email.utils import parseaddr
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from subscriptions import addresses
from subscriptions.actions import groups, signup
from subscriptions.actions.preferences import TopicSelection, set_preferences
from subscriptions.db import retry_on_integrity_error
from subscriptions.models import Consent, Group, Invitation, Letter, Subscriber, Topic
from subscriptions.notices import send
from subscriptions.security import rate_limits, suppression_list

REASONS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
REMIND_AFTER = timedelta(days=5)
#: The link of a later reminder would outlive the subscriber.
REMIND_BEFORE = timedelta(days=20)


class Entry(NamedTuple):
    """An address to invite. `name` is suggested to them for a group; `topics` are theirs alone."""

    address: str
    name: str = ""
    topics: tuple[Topic, ...] = ()


def read_text(text: str) -> list[Entry]:
    """Return the entries of a pasted list, which may be one of a mail program: Ada <ada@…>."""
    parts = filter(None, map(str.strip, re.split(r"[,;\n]", text)))
    return [Entry(*reversed(parseaddr(part))) if "<" in part else Entry(part) for part in parts]


def read_csv(data: bytes) -> list[Entry]:
    """Return the entries of a CSV file: with commas, semicolons or tabs, in UTF-8.

    Raises ValidationError, which names the line.
    """
    try:
        text = data.replace(b"\0", b"\xff").decode("utf-8-sig")  # PostgreSQL refuses NUL.
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        message = f"Line {number} is not UTF-8. Save the file as “CSV UTF-8”."
        raise ValidationError(message) from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    curated = list(Topic.objects.curated())
    known = {  # The code of a category is enough: cs.RO.
        name.lower(): topic
        for topic in curated
        for name in (topic.name.partition(": ")[0], topic.slug, topic.name)
    }
    entries = []
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        if "email" not in reader.fieldnames:
            raise csv.Error("the header has no column “email”")
        for row in reader:
            if None in row:
                raise csv.Error("too many cells")
            cells = {column: (cell or "").strip() for column, cell in row.items()}
            names = filter(None, map(str.strip, re.split("[;|]", cells.get("topics", ""))))
            topics = tuple(known[name.lower()] for name in names)
            if any(cells.values()):
                entries.append(Entry(cells["email"], cells.get("name", ""), topics))
    except KeyError as unknown:
        number, name = reader.reader.line_num, unknown.args[0]
        raise ValidationError(f"Line {number}: there is no topic “{name}”.") from None
    except csv.Error as error:
        raise ValidationError(f"Line {reader.reader.line_num or 1}: {error}.") from error
    return entries


def invite(
    entries: list[Entry], topics: list[Topic], choices: dict, group: Group | None, *, by: str, now
) -> list[tuple[str, str]]:
    """Invite each address in the name of an account.

    Return each address with the reason for refusing it, or "".

    `choices` has names of Subscriber's fields: hour, timezone, language. Subscribers keep theirs:
    they are only invited to the group.
    """
    results, seen = [], set()
    for entry in entries:
        try:
            email = addresses.normalise(entry.address)
            chosen = TopicSelection([*topics, *entry.topics])
            reason = REASONS["repeated"]
            if email.lower() not in seen:
                reason = _invite(email, entry.name, chosen, choices, group, by, now)
            seen.add(email.lower())
        except ValidationError as error:
            reason = str(error.message)
        results.append((entry.address, reason))
    return results


@retry_on_integrity_error  # A concurrent sign-up or invitation of the same address.
@transaction.atomic
def _invite(email, name, topics, choices, group, by, now):
    subscriber = Subscriber.objects.select_for_update().with_address(email).first()
    state = subscriber.state_at(now) if subscriber else "new"
    if group and state in ("active", "paused"):
        has_membership = group.memberships.filter(subscriber=subscriber).exists()
        state = "invited" if has_membership else "subscribed"
    if refusal := _check_and_count(email, state, now):
        return refusal
    if state == "new":
        subscriber = _create(email, by, now, **choices)
        set_preferences(subscriber, topics)
    if group:
        if groups.invite(group, subscriber, now) is None:
            return REASONS["recipient"]
        if state == "new":
            subscriber.memberships.update(name=name[: groups.MAX_NAME_LENGTH])
    send.write_confirm(subscriber, now, since=now)
    return ""


def _check_and_count(email, state, now) -> str:
    """Return the reason for refusing, or "" after counting the invitation."""
    if suppression_list.contains(email, now):
        state = "suppressed"
    elif state == "new" and suppression_list.was_invited(email):
        state = "invited"
    if state in REASONS:
        return REASONS[state]
    try:
        rate_limits.check_invitation(email, now)
    except rate_limits.TooManyAttempts as refusal:
        return REASONS[refusal.by]
    return ""


def _create(email, by, now, **choices) -> Subscriber:
    """Return a new subscriber who was asked. The caller writes the letter."""
    subscriber = Subscriber.objects.create(email=email, asked_at=now, **choices)
    Invitation.objects.create(subscriber=subscriber, invited_by=by, at=now)
    source = signup.ConsentSource(f"invitation by {by}"[:60])
    signup.record_consent(subscriber, Consent.Act.ASKED, source, now)
    suppression_list.add(email, suppression_list.Why.INVITED, now)
    return subscriber


def check_list(group: Group, text: str, now) -> str:
    """Return the normalised address of a group's list, "" for none. Raises ValidationError.

    It must not be a subscriber's address: nobody's subscription is taken over.
    """
    if not text.strip():
        return ""
    address = addresses.normalise(text)
    if group.mailing_list and group.mailing_list.email.lower() == address.lower():
        return group.mailing_list.email
    is_taken = Subscriber.objects.with_address(address).exists()
    if refusal := _check_and_count(address, "taken" if is_taken else "new", now):
        raise ValidationError(refusal)
    return address


def set_list(group: Group, address: str, *, by: str, now) -> None:
    """Ask the list to confirm as any subscriber, and unsubscribe the former list, if any.

    `address` is one that `check_list` returned; `by`, the operator's account, is named to the list.
    """
    former = group.mailing_list
    if address == (former.email if former else ""):
        return
    with transaction.atomic():
        if former:
            source = signup.ConsentSource(f"removed from a group by {by}"[:60])
            signup.unsubscribe(former.public_id, source=source, now=now)
        group.mailing_list = _create(address, by, now) if address else None
        if address:
            send.write_confirm(group.mailing_list, now, since=now)
        group.save()


def remind(now) -> None:
    """Remind each invited person who did not answer, once."""
    due = Invitation.objects.filter(
        reminded_at=None,
        at__gt=now - REMIND_BEFORE,
        at__lte=now - REMIND_AFTER,
        subscriber__asked_at=F("at"),  # They did not sign up themselves since.
        subscriber__confirmed_at=None,
        subscriber__unsubscribed_at=None,
        subscriber__suppressed_at=None,
    ).exclude(subscriber__in=Letter.objects.open().values("subscriber"))
    for pk in list(due.values_list("subscriber", flat=True)):
        with transaction.atomic():
            locked = Subscriber.objects.select_for_update().filter(pk=pk).first()
            if locked and due.filter(subscriber=pk).update(reminded_at=now):
                send.write_confirm(locked, now, since=now)
