"""Subscribers through weeks of random events: what arrived is compared with a model.

The mail server records what it took, whatever it said; the model is of one subscriber: no paper
twice and none lost, a date once, digests hours apart, none after leaving, and no invariant reported
as broken that is kept. After a restored backup, the days since then count as sent.
"""

import random
import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace

import pytest
from django.db import transaction

from digest.models import Pick
from digest.planning import plan, restoring
from subscriptions import schedule
from subscriptions.actions import change_address, moderation, preferences, signup
from subscriptions.delivery import circuit_breaker, queue, rendering, transitions, worker
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, MINUTE
from tests.helpers.invariants import broken

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ZONES = ["Pacific/Kiritimati", "Asia/Kolkata", "Europe/Berlin", "UTC", "Pacific/Honolulu"]
#: What the server does with a letter, and what it says at which step.
MOODS = {
    "kind": (True, DeliveryResult("accepted", "dot", "250 ok")),
    "silent": (True, DeliveryResult("unknown", "dot", "timeout")),
    "deaf": (False, DeliveryResult("unknown", "dot", "timeout")),
    "busy": (False, DeliveryResult("deferred", "dot", "451 later")),
    "strict": (False, DeliveryResult("refused", "dot", "554 no")),
}


class Wire:
    """A mail server, as its one connection: `arrived` holds each digest that it took."""

    connections = 1

    def __init__(self, clock):
        self.clock, self.mood = clock, "kind"
        self.arrived, self._taken = [], []  # The latter in another thread, with no database.

    def connect(self):
        return self

    def is_usable(self):
        return True

    def offer(self, message):
        self.message = message

    def finish(self):
        takes, result = MOODS[self.mood]
        if takes:
            self._taken.append((self.message.letter_id, self.message.mime))
        return result

    def look_up(self):
        """Look up the letters that were taken just now."""
        while self._taken:
            self.take(*self._taken.pop(0))

    def take(self, number, mime):
        letter = Letter.objects.get(pk=number)
        if letter.day is None:
            return
        papers = set(Pick.objects.filter(digest__letter=letter).values_list("paper", flat=True))
        name = re.search(rb"Message-ID: (\S+)", mime)[1]
        facts = {"at": self.clock.now, "day": letter.day, "papers": papers, "name": name}
        self.arrived.append(SimpleNamespace(**facts, mime=mime, created_at=letter.created_at))

    def close(self):
        """Nothing is under way."""


class Life:
    """One subscriber, and what happens to them: each method is an act, drawn by its weight."""

    def __init__(self, seed, clock, wire):
        self.chance, self.clock, self.wire = random.Random(seed), clock, wire
        self.clock.now = datetime(2026, 10, 23, 12, tzinfo=UTC)  # Before most clocks go back.
        wishes = {"timezone": self.chance.choice(ZONES), "hour": self.chance.randrange(24)}
        self.pk = make.subscriber(
            **wishes, size=50, wants_quiet_days=self.chance.random() < 0.7, now=self.now
        ).pk
        self.papers = set()  # That came out since they last confirmed.
        self.confirmed = [self.now]

    @property
    def now(self):
        return self.clock.now

    @property
    def subscriber(self):
        return Subscriber.objects.get(pk=self.pk)

    def wait(self, hours=None):
        ends = self.now + (hours or self.chance.randint(1, 40)) * HOUR
        while self.now < ends:
            plan.plan(self.now)
            queue.sweep(self.now)
            worker.deliver_due(lambda: self.now)
            self.wire.look_up()
            self.clock.now = self._next_moment(ends)

    def _next_moment(self, ends):
        """Return the next minute in which something is due, at `ends` the latest."""
        due = [ends, self.subscriber.next_due_at, circuit_breaker.current().retry_at]
        for letter in Letter.objects.open():
            due += [letter.next_try_at, letter.lease_until, letter.closes_at]
        soonest = min(moment for moment in due if moment and moment > self.now)
        return max(soonest.replace(second=0) + MINUTE * bool(soonest.second), self.now + MINUTE)

    def nothing_runs(self):
        self.clock.now += self.chance.randint(1, 60) * HOUR

    def paper(self):
        paper = make.paper(day=self.now.date(), now=self.now)
        if not self.subscriber.unsubscribed_at:
            self.papers.add(paper.pk)

    def mood(self):
        self.wire.mood = self.chance.choice(list(MOODS))
        self.wait(self.chance.randint(1, 30))
        self.wire.mood = "kind"

    def worker_dies(self):
        plan.plan(self.now)
        with transaction.atomic():
            claimed, _ = transitions.claim(self.now, 10)
        written = [one for some in rendering.render_letters(claimed, self.now) for one in some]
        frozen = {
            letter.pk: made
            for letter, made in written
            if isinstance(made, transitions.FrozenMessage)
        }
        if self.chance.random() < 0.6:
            letters = [letter for letter in claimed if letter.pk in frozen]
            with transaction.atomic():
                passed = transitions.final_check(letters, frozen, self.now).passed
            for letter in passed if self.chance.random() < 0.5 else ():
                self.wire.take(letter.pk, frozen[letter.pk].mime)

    def change(self, **settings):
        if not self.subscriber.unsubscribed_at:
            preferences.change(self.subscriber, None, settings, now=self.now)

    def zone(self):
        self.change(timezone=self.chance.choice(ZONES))

    def hour(self):
        self.change(hour=self.chance.randrange(24))

    def weekdays(self):
        self.change(weekdays=self.chance.choice([127, self.chance.randint(1, 127)]))

    def pause(self):
        until = schedule.local_day(self.now, self.subscriber.zone) + self.chance.randint(1, 6) * DAY
        preferences.pause(self.subscriber, until, now=self.now)

    def resume(self):
        preferences.resume(self.subscriber, now=self.now)

    def leave(self):
        plan.plan(self.now)
        signup.unsubscribe(self.subscriber.public_id, source=CONSENT_SOURCE, now=self.now)
        self.papers.clear()

    def come_back(self):
        if self.subscriber.unsubscribed_at:
            kind = self.chance.choice(["confirm", "goodbye"])
            self.clock.now += MINUTE  # A link of the moment in which they confirmed was used.
            signup.confirm(
                self.subscriber, self.now, source=CONSENT_SOURCE, now=self.now, kind=kind
            )
            self.confirmed.append(self.now)

    def move(self):
        try:
            email = f"{self.chance.randrange(4)}@example.org"
            change_address.request(self.subscriber, email, now=self.now)
            for side in ("old", "new"):
                change_address.approve(
                    self.subscriber, side, self.now, source=CONSENT_SOURCE, now=self.now
                )
        except change_address.NoPendingMove:
            pass

    def suppress(self):
        moderation.suppress(self.subscriber, "a test", now=self.now)
        self.wait()
        moderation.unsuppress(self.subscriber, now=self.now)

    WEIGHTS = {
        **{wait: 30, paper: 16, come_back: 10, mood: 6, worker_dies: 5},
        **{zone: 4, hour: 4, pause: 4, resume: 3, leave: 3, move: 3},
        **{weekdays: 2, nothing_runs: 2, suppress: 1},
    }

    def go_on(self):
        (act,) = self.chance.choices(list(self.WEIGHTS), self.WEIGHTS.values())
        act(self)

    def keeps_the_invariants(self):
        came = self.wire.arrived
        by_name = {one.name: one for one in reversed(came)}
        digests = sorted(by_name.values(), key=lambda one: one.at)
        for one in came:
            assert one.mime == by_name[one.name].mime
        assert all(sum(two.name == one.name for two in came) <= 2 for one in digests)
        assert len({one.day for one in digests}) == len(digests)
        assert sum(len(one.papers) for one in digests) == len(self._got())
        for earlier, later in pairwise(came):
            created = earlier.created_at, later.created_at
            is_first = any(abs(a - b) <= HOUR for a in self.confirmed for b in created)
            apart = schedule.MIN_GAP_AFTER_FIRST if is_first else schedule.MIN_GAP
            assert later.name == earlier.name or later.at - earlier.at >= apart
        left_at = self.subscriber.unsubscribed_at
        assert left_at is None or not came or came[-1].at <= left_at
        late = {"planned", "ended", "held"}  # Where nothing ran, they are.
        assert not broken(self.now).keys() - late

    def _got(self):
        return set().union(*(one.papers for one in self.wire.arrived))

    def ends_well(self):
        """They have all papers that came out since they confirmed, but for what nobody knows."""
        self.resume()
        self.change(weekdays=schedule.EVERY_DAY)
        if not self.subscriber.unsubscribed_at:
            self.wait(hours=80)
            assert broken(self.now) == {}
            unknown = Pick.objects.filter(subscriber=self.pk).values_list("paper", flat=True)
            assert self.papers <= self._got() | set(unknown)


@pytest.fixture
def begin(settings, monkeypatch, clock):
    """Return a function that begins a life, whose letters a mail server of its own takes."""
    settings.EMAIL_URL = "smtp://127.0.0.1:9"

    def begin(seed):
        wire = Wire(clock)
        monkeypatch.setattr(worker, "transport_for", lambda url: wire)
        return Life(seed, clock, wire)

    return begin


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(one, marks=pytest.mark.nightly) for one in range(3, 60))]
)
def test_invariants_hold_through_random_events(seed, begin):
    life = begin(seed)
    for _ in range(60):
        life.go_on()
        life.keeps_the_invariants()
    life.ends_well()


class Lost(Exception):
    """A backup is put back: what was written since is gone."""


#: What may happen in hours that are lost: what was changed in them is as before, which nothing can
#: mend.
IN_LOST_HOURS = ["wait", "paper"]


@pytest.mark.parametrize(
    "seed", [9, *(pytest.param(one, marks=pytest.mark.nightly) for one in range(10, 40))]
)
def test_delivered_papers_are_not_resent_after_restore(seed, begin, clock):
    life = begin(seed)
    arrived = life.wire.arrived
    for _ in range(15):
        life.go_on()
    before, since = len(arrived), life.now
    with suppress(Lost), transaction.atomic():
        for _ in range(life.chance.randint(1, 8)):
            getattr(life, life.chance.choice(IN_LOST_HOURS))()
        raise Lost
    circuit_breaker.stop("the operator", life.now)
    for hours in life.chance.choices([1, 10, 26], k=life.chance.randrange(4)):
        clock.now += hours * HOUR
        queue.sweep(life.now)
    restoring.skip(since, life.now)
    circuit_breaker.resume("the operator", life.now)
    lost = {one.day for one in arrived[before:]}
    assert lost <= set(Letter.objects.filter(state="accepted").values_list("day", flat=True))
    before = len(arrived)
    for _ in range(15):
        life.go_on()
    assert lost.isdisjoint(one.day for one in arrived[before:])
