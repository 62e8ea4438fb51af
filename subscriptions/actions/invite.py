"""Invitations of people and mailing lists by operators.

An address gets one email and one reminder at most, whoever invites. A keyed hash on the suppression
list outlives the subscriber. Every function is idempotent. The reasons for refusing an address are
in invite.toml.
"""

import re
import tomllib
from collections.abc import Sequence
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.text import capfirst

from subscriptions import addresses, child_process, csv_files
from subscriptions.actions import groups, signup
from subscriptions.actions.preferences import TopicSelection, set_preferences
from subscriptions.db import retry_on_integrity_error
from subscriptions.models import Consent, Group, Invitation, Letter, Subscriber, Topic
from subscriptions.notices import send
from subscriptions.security import rate_limits, suppression_list

REASONS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
VALUE_SEPARATOR = re.compile("[;|]")  # Between the values of a cell.
EMAIL_HEADER = re.compile(r"e?\W?mail(.?add?ress[es]*)?")  # In English and German.
REMIND_AFTER = timedelta(days=5)
#: The link of a later reminder would outlive the subscriber.
REMIND_BEFORE = timedelta(days=20)


class Entry(NamedTuple):
    """An address to invite.

    `name` greets them, and is suggested to them for a group. `topics` (slugs) and `interests`
    (lines) are as listed, `selection` is what they will follow and mute, and `papers` are examples:
    the title, authors and URL of each.
    """

    address: str
    name: str = ""
    topics: tuple[str, ...] = ()
    interests: str = ""
    selection: TopicSelection = TopicSelection()
    papers: Sequence[dict[str, str]] = ()


def read_text(text: str) -> list[Entry]:
    """Return the entries of a pasted list, which may be one of a mail program: Ada <ada@…>."""
    items = filter(None, map(str.strip, re.split(r"[,;\n]", text)))
    return [Entry(*reversed(parseaddr(item))) if "<" in item else Entry(item) for item in items]


def read_csv(data: bytes) -> list[Entry]:
    """Return the entries of a CSV file. Raises ValidationError, which names the bad lines."""
    slugs_by_name = {  # The code of a category is enough: cs.RO.
        name.lower(): topic.slug
        for topic in Topic.objects.curated()
        for name in (topic.name.partition(": ")[0], topic.slug, topic.name)
    }
    try:
        table = child_process.run_limited(csv_files.parse, data)
    except ValueError as error:
        raise ValidationError(capfirst(error)) from None
    columns = ["email" if EMAIL_HEADER.fullmatch(name) else name for name in table["headers"]]
    if "email" not in columns:
        raise ValidationError("Line 1: the header has no column “email”.")
    entries, problems = [], []
    for line_number, row in zip(table["lines"], table["rows"], strict=True):
        cells = dict(zip(columns, row, strict=True))
        topic_names = VALUE_SEPARATOR.split(cells.get("topics", "").lower())
        topic_names = [name for name in map(str.strip, topic_names) if name]
        if unknown_names := [name for name in topic_names if name not in slugs_by_name]:
            problems.append(f"Line {line_number}: there is no topic “{unknown_names[0]:.100}”.")
        topics = tuple(slugs_by_name[name] for name in topic_names if name in slugs_by_name)
        interests = VALUE_SEPARATOR.sub("\n", cells.get("interests", ""))
        entries.append(Entry(cells["email"], cells.get("name", ""), topics, interests))
    if excess := problems[csv_files.MAX_LINES :]:
        problems[csv_files.MAX_LINES :] = [f"And {len(excess)} more."]
    if problems:
        raise ValidationError(problems)
    return entries


def invite(
    entries: list[Entry], settings: dict, group: Group | None, *, inviter: str, note: str = "", now
) -> list[tuple[str, str]]:
    """Invite each address in the name of a person, with their note.

    Return each address with the reason for refusing it, or "".

    `settings` has names of Subscriber's fields: hour, timezone, language. Subscribers keep theirs:
    they are only invited to the group, without the note.
    """
    results, seen_emails = [], set()
    for entry in entries:
        try:
            email = addresses.normalise(entry.address)
            reason = REASONS["repeated"]
            if email.lower() not in seen_emails:
                name = entry.name[: groups.MAX_NAME_LENGTH]
                fields = {"name": name, "note": note, "papers": entry.papers}
                reason = _invite(email, fields, entry.selection, settings, group, inviter, now)
            seen_emails.add(email.lower())
        except ValidationError as error:
            reason = str(error.message)
        results.append((entry.address, reason))
    return results


@retry_on_integrity_error  # A concurrent sign-up or invitation of the same address.
@transaction.atomic
def _invite(email, fields, selection, settings, group, inviter, now):
    subscriber = Subscriber.objects.select_for_update().with_address(email).first()
    state = subscriber.state_at(now) if subscriber else "new"
    if group and state in ("active", "paused"):
        has_membership = group.memberships.filter(subscriber=subscriber).exists()
        state = "invited" if has_membership else "subscribed"
    if refusal := _check_and_count(email, state, now):
        return refusal
    if state == "new":
        subscriber = _create(email, inviter, now, fields, **settings)
        set_preferences(subscriber, selection)
    if group:
        if groups.invite(group, subscriber, now) is None:
            return REASONS["recipient"]
        if state == "new":
            subscriber.memberships.update(name=fields["name"])
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
        return REASONS[refusal.kind]
    return ""


def _create(email, inviter, now, fields, **settings) -> Subscriber:
    """Return a new subscriber who was asked. The caller writes the letter."""
    subscriber = Subscriber.objects.create(email=email, asked_at=now, **settings)
    Invitation.objects.create(subscriber=subscriber, invited_by=inviter, at=now, **fields)
    source = signup.ConsentSource(f"invitation by {inviter}"[:60])
    signup.record_consent(subscriber, Consent.Act.ASKED, source, now)
    suppression_list.add(email, suppression_list.Reason.INVITED, now)
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


def set_list(group: Group, address: str, *, inviter: str, now) -> None:
    """Ask the list to confirm as any subscriber, and unsubscribe the former list, if any.

    `address` is one that `check_list` returned; `inviter`, the operator's account, is named to it.
    """
    former_list = group.mailing_list
    if address == (former_list.email if former_list else ""):
        return
    with transaction.atomic():
        if former_list:
            source = signup.ConsentSource(f"removed from a group by {inviter}"[:60])
            signup.unsubscribe(former_list.public_id, source=source, now=now)
        group.mailing_list = _create(address, inviter, now, {}) if address else None
        if address:
            send.write_confirm(group.mailing_list, now, since=now)
        group.save()


def remind(now) -> None:
    """Remind each invited person who did not answer, once."""
    due_invitations = Invitation.objects.filter(
        reminded_at=None,
        at__gt=now - REMIND_BEFORE,
        at__lte=now - REMIND_AFTER,
        subscriber__asked_at=F("at"),  # They did not sign up themselves since.
        subscriber__confirmed_at=None,
        subscriber__unsubscribed_at=None,
        subscriber__suppressed_at=None,
    ).exclude(subscriber__in=Letter.objects.open().values("subscriber"))
    for pk in list(due_invitations.values_list("subscriber", flat=True)):
        with transaction.atomic():
            subscriber = Subscriber.objects.select_for_update().filter(pk=pk).first()
            if subscriber and due_invitations.filter(subscriber=pk).update(reminded_at=now):
                send.write_confirm(subscriber, now, since=now)
