"""Sign-up, confirmation and unsubscribing. Each is recorded as a consent.

Every function takes the moment as an argument and is idempotent. What only operators do is in
`moderation`.
"""

import uuid
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.db.models import F

from subscriptions import hooks
from subscriptions.actions.preferences import TopicSelection, set_preferences
from subscriptions.delivery import clock, queue
from subscriptions.mail import kinds
from subscriptions.models import Consent, Letter, Move, Subscriber, Topic
from subscriptions.notices import send
from subscriptions.security import suppression_list
from subscriptions.security.tokens import ClosedToken, ExpiredToken

Kind = Letter.Kind


@dataclass(frozen=True)
class ConsentSource:
    """Where a consent came from, for its record."""

    via: str
    ip: str | None = None
    wording: str = ""


@dataclass(frozen=True)
class SignUpRequest:
    """The choices of a sign-up, without the address. `language=None` keeps the current one."""

    topics: TopicSelection = field(default_factory=TopicSelection)
    timezone: str = "UTC"
    hour: int = 7
    language: str | None = None

    def apply_to(self, subscriber: Subscriber) -> None:
        """Set the settings, and replace the preferences if the sign-up chose any.

        Does not save the subscriber.
        """
        subscriber.timezone, subscriber.hour = self.timezone, self.hour
        subscriber.language = self.language or subscriber.language
        if self.topics != TopicSelection():
            set_preferences(subscriber, self.topics)

    def to_json(self) -> dict:
        """Return what `from_json` reads: empty if no topic was chosen, so that all settings stay.

        Rows are kept for days: `from_json` must read those of an older version.
        """
        if self.topics == TopicSelection():
            return {}
        fields = {name: getattr(self.topics, name) for name in ("interests", "muted_interests")}
        fields |= {"topics": [topic.pk for topic in self.topics.follow], "kinds": self.topics.kinds}
        fields |= {"mute": [topic.pk for topic in self.topics.mute]}
        return fields | {"timezone": self.timezone, "hour": self.hour}

    @classmethod
    def from_json(cls, fields: dict) -> "SignUpRequest":
        curated = Topic.objects.curated()
        follow, mute = (
            list(curated.filter(pk__in=fields.get(name, ()))) for name in ("topics", "mute")
        )
        muted_interests, kinds = fields.get("muted_interests", []), fields.get("kinds", {})
        selection = TopicSelection(follow, mute, fields["interests"], muted_interests, kinds)
        return cls(selection, fields["timezone"], fields["hour"])


class UsedToken(ExpiredToken):
    """The link was used, and the subscriber unsubscribed since. A new sign-up is needed."""


def subscribe(email: str, request: SignUpRequest, *, source: ConsentSource, now) -> Letter | None:
    """Record a sign-up with this (normalised) address, and ask the address to confirm it.

    An active subscriber keeps their settings (anyone can type an address) and gets a reminder.
    Returns the letter, or None if none may be sent. Only the letter shows whether the
    address is subscribed: the work, and so its duration, is the same in every state.
    """
    with transaction.atomic():
        subscriber, is_new = _get_or_create_locked(email, now)
        # After bounces, the address may work by now. After a complaint, nothing is sent again.
        may_retry = (
            subscriber is not None
            and subscriber.suppressed_by == Subscriber.Suppression.BOUNCED
            and subscriber.suppressed_at is not None
            and subscriber.suppressed_at <= now - send.QUESTION_INTERVAL
        )
        if may_retry and not subscriber.has_opted_in:
            subscriber.unsuppress(now)  # The confirmation will ask them.
        state = "suppressed" if subscriber is None else subscriber.state_at(now)
        letter, is_backing_off = None, send.is_backing_off(subscriber, now)
        match state:
            case "pending":
                request.apply_to(subscriber)
                letter = _ask_to_confirm(subscriber, source, now, is_backing_off)
            case "unsubscribed":
                subscriber.pending_settings = request.to_json()  # Applied when they confirm.
                letter = _ask_to_confirm(subscriber, source, now, is_backing_off)
            case "active" | "paused":
                letter = send.remind(subscriber, now, is_backing_off)
            case "suppressed" if may_retry:
                letter = send.ask_if_address_works(subscriber, now)
        if not is_new:
            _equalise_duration(state, request, source, now, has_letter=letter is not None)
        return letter


def _get_or_create_locked(email, now) -> tuple[Subscriber | None, bool]:
    """Return the locked subscriber, None if the address is suppressed for good, and if created."""
    subscriber = Subscriber.objects.select_for_update().with_address(email).first()
    if suppression_list.contains(email, now):
        return None, False
    if subscriber is not None:
        return subscriber, False
    try:
        with transaction.atomic():
            return Subscriber.objects.create(email=email, asked_at=now), True
    except IntegrityError:  # A concurrent sign-up of the same address.
        return Subscriber.objects.select_for_update().with_address(email).get(), False


def _ask_to_confirm(subscriber, source, now, is_backing_off):
    """Record the request, save, and send a confirmation unless one was sent recently."""
    record_consent(subscriber, Consent.Act.ASKED, source, now)
    earliest = now - send.CONFIRM_INTERVAL
    since = max(earliest, subscriber.unsubscribed_at or earliest)
    letter = send.write_confirm(subscriber, now, since, is_backing_off)
    if letter is not None:
        subscriber.asked_at = now
    subscriber.save()
    return letter


def _equalise_duration(state, request, source, now, *, has_letter):
    """Do the rest of the work that a new address takes, on a stand-in, and roll it back."""
    with transaction.atomic():
        address = f"{uuid.uuid4().hex}@stand-in.invalid"
        stand_in = Subscriber.objects.create(email=address, asked_at=now)
        if state != "pending":
            request.apply_to(stand_in)
        if state not in ("pending", "unsubscribed"):
            record_consent(stand_in, Consent.Act.ASKED, source, now)
            stand_in.save()
        if state == "suppressed" and not has_letter:
            send.write_confirm(stand_in, now, since=now)
        elif not has_letter:
            send.write(stand_in, Kind.CONFIRM, now, closes_at=now)
        transaction.set_rollback(True)
    if not has_letter:
        send.enqueue_delivery(send.NO_LETTER)


def confirm(subscriber, asked_at, *, source: ConsentSource, now, kind: str = Kind.CONFIRM) -> None:
    """Answer yes to the letter of this kind that asked at `asked_at`.

    - confirm: subscribe. The first digest is due at once, or at the usual hour if they had today's
      before they unsubscribed.
    - goodbye: undo unsubscribing. The next digest has the papers since the last one.
    - bounced: the address works. Send letters again.

    Raises UsedToken or ClosedToken.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        if not awaits_answer(subscriber, asked_at, now=now, kind=kind):
            return
        match kind:
            case Kind.CONFIRM:
                subscriber.confirmed_at = now
                subscriber.unsubscribed_at = subscriber.paused_until = None
                subscriber.subscribed_at = subscriber.next_due_at = clock.not_in_future(now)
                request_fields, subscriber.pending_settings = subscriber.pending_settings, {}
                if request_fields:
                    SignUpRequest.from_json(request_fields).apply_to(subscriber)
                if subscriber.had_digest_before_confirming():
                    subscriber.reschedule(now)
            case Kind.GOODBYE:
                subscriber.confirmed_at = now  # Links of earlier sign-ups are used up, too.
                subscriber.unsubscribed_at = None
                subscriber.pending_settings = {}  # Anyone may have typed it.
                subscriber.reschedule(now)
            case Kind.BOUNCED:
                subscriber.unsuppress(now)
        subscriber.save()
        record_consent(subscriber, Consent.Act.CONFIRMED, source, now)
        for callback in hooks.on_confirmed:
            transaction.on_commit(callback, robust=True)


def awaits_answer(subscriber: Subscriber, asked_at, *, now, kind: str = Kind.CONFIRM) -> bool:
    """Return whether the letter of this kind that asked at `asked_at` still waits for an answer.

    Raises UsedToken if it was answered and they unsubscribed since, and ClosedToken if it was sent
    to a former address.
    """
    if subscriber.moved_at is not None and asked_at < subscriber.moved_at:
        raise ClosedToken
    state = subscriber.state_at(now)
    if state == "suppressed":
        return kind == Kind.BOUNCED and subscriber.can_confirm_address(asked_at)
    if state in ("active", "paused"):
        return False
    if kind == Kind.GOODBYE and subscriber.can_resubscribe(asked_at):
        return True
    was_confirmed = subscriber.confirmed_at is not None and asked_at <= subscriber.confirmed_at
    if kind == Kind.CONFIRM and not was_confirmed:
        return True
    raise UsedToken


def unsubscribe(public_id: uuid.UUID, *, source: ConsentSource, now) -> int:
    """Stop all letters at once, but for a goodbye.

    Returns how many other letters are past the final check and may still arrive. Raises
    Subscriber.DoesNotExist.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().get(public_id=public_id)
        cancelled_kinds = kinds.kinds_excluding("unsubscribed")
        if subscriber.unsubscribed_at is None:  # Later, a new sign-up may wait for its answer.
            cancelled_kinds.append(Kind.CONFIRM)
        sending_count = queue.cancel(subscriber, "unsubscribed", now, kinds=cancelled_kinds)
        if subscriber.unsubscribed_at is None:
            subscriber.unsubscribed_at = now
            subscriber.next_due_at = None
            subscriber.save()
            Move.objects.filter(subscriber=subscriber).forget()
            record_consent(subscriber, Consent.Act.UNSUBSCRIBED, source, now)
            send.write_goodbye(subscriber, now)
        return sending_count


def record_reason(public_id: uuid.UUID, reason: str) -> bool:
    """Store why a subscriber unsubscribed, with its record. Return whether the reason is known."""
    is_known = reason in Consent.Reason.values
    if is_known:
        rows = Consent.objects.filter(subscriber__public_id=public_id, act=Consent.Act.UNSUBSCRIBED)
        rows.filter(at=F("subscriber__unsubscribed_at")).update(reason=reason)
    return is_known


def unsuppress(subscriber: Subscriber, *, source: ConsentSource, now) -> bool:
    """Send letters again, at the subscriber's own wish. Return whether they were suppressed.

    What an operator suppressed stays suppressed.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        by_operator = subscriber.suppressed_by == Subscriber.Suppression.OPERATOR
        if subscriber.suppressed_at is None or by_operator:
            return False
        subscriber.unsuppress(now)
        subscriber.save()
        record_consent(subscriber, Consent.Act.CONFIRMED, source, now)
        return True


def record_consent(subscriber: Subscriber, act: str, source: ConsentSource, now) -> None:
    Consent.objects.create(
        subscriber=subscriber, act=act, at=now, via=source.via, ip=source.ip, wording=source.wording
    )
