"""Subscribers through weeks of random events: what arrived is compared with a model.

Two subscribers are members of a group whose digest goes to a channel. One takes all papers, the
other those of a category but none of a muted one, and what the group shares. Mail server and
channel record what they took, whatever they said. The model: to each, no paper twice and none lost,
none that was withdrawn, muted or in the library; a date once, digests hours apart, none after
leaving; and no invariant reported as broken that is kept. After a restored backup, the days since
then count as sent.
"""

import random
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain, pairwise
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from digest.models import Paper, Pick
from digest.personalization import recommendations
from digest.planning import plan, restoring
from subscriptions import schedule
from subscriptions.actions import change_address, moderation, preferences, signup
from subscriptions.delivery import circuit_breaker, queue, rendering, transitions, worker
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, MINUTE
from tests.helpers.invariants import broken

pytestmark = pytest.mark.django_db

ZONES = ["Pacific/Kiritimati", "Asia/Kolkata", "Europe/Berlin", "UTC", "Pacific/Honolulu"]
#: What the server does with a letter, and what it says at which step.
MOODS = {
    "kind": (True, DeliveryResult("accepted", "dot", "250 ok")),
    "silent": (True, DeliveryResult("unknown", "dot", "timeout")),
    "deaf": (False, DeliveryResult("unknown", "dot", "timeout")),
    "busy": (False, DeliveryResult("deferred", "dot", "451 later")),
    "strict": (False, DeliveryResult("refused", "dot", "554 no")),
}
FOLLOWED, MUTED = "cs.RO", "cs.LG"


class Wire:
    """A mail server or a channel, as its one connection: `arrived` holds each digest it took."""

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
        facts = {"at": self.clock.now, "papers": papers, "mime": mime}
        self.arrived.append(SimpleNamespace(letter=letter, **facts))

    def close(self):
        """Nothing is under way."""


class Life:
    """A subscriber, and what happens to them: each method is an act, drawn by its weight."""

    def __init__(self, world, **fields):
        self.world, self.chance = world, world.chance
        wishes = {"timezone": self.chance.choice(ZONES), "hour": self.chance.randrange(24)}
        wishes |= {"wants_quiet_days": self.chance.random() < 0.7, "size": 50}
        self.pk = make.subscriber(**wishes, now=self.now, **fields).pk
        self.papers = set()  # That came out since they last confirmed.
        self.excluded = {}  # From which moment on which paper must not be planned.
        self.confirmed = [self.now]

    @property
    def now(self):
        return self.world.clock.now

    @property
    def subscriber(self):
        return Subscriber.objects.get(pk=self.pk)

    def change(self, **settings):
        if not self.subscriber.unsubscribed_at:
            preferences.change(self.subscriber, None, settings, now=self.now)

    def zone(self):
        self.change(timezone=self.chance.choice(ZONES))

    def hour(self):
        self.change(hour=self.chance.randrange(24))

    def weekdays(self):
        days = self.chance.choice([127, self.chance.randint(1, 127)])
        self.change(weekdays=days, is_monthly=self.chance.random() < 0.2)

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
            self.world.clock.now += MINUTE  # A link of the moment of confirming was used.
            signup.confirm(
                self.subscriber, self.now, source=CONSENT_SOURCE, now=self.now, kind=kind
            )
            self.confirmed.append(self.now)

    def move(self):
        with suppress(change_address.NoPendingMove):
            email = f"{self.chance.randrange(4)}.{self.pk}@example.org"
            change_address.request(self.subscriber, email, now=self.now)
            for side in ("old", "new"):
                change_address.approve(
                    self.subscriber, side, self.now, source=CONSENT_SOURCE, now=self.now
                )

    def suppress(self):
        moderation.suppress(self.subscriber, "a test", now=self.now)
        self.world.wait()
        moderation.unsuppress(self.subscriber, now=self.now)

    def library(self):
        if self.papers:
            paper = self.chance.choice(sorted(self.papers))
            self.subscriber.library.create(identity=paper, title="Of the library", at=self.now)
            self.exclude(paper)

    def exclude(self, paper):
        self.papers.discard(paper)
        self.excluded.setdefault(paper, self.now)

    def recommend(self):
        """Recommend a paper to the other member that was never new."""
        paper = make.paper(day=self.now.date() - 40 * DAY, now=self.now - 40 * DAY)
        for to in recommendations.colleagues(self.subscriber):
            with suppress(ValidationError):  # Five a day.
                recommendations.recommend(self.subscriber, str(to.pk), paper, "", self.now)

    def join(self):
        row = self.subscriber.memberships.get()
        row.joined_at = None if row.joined_at else self.now
        row.save()

    WEIGHTS = {
        **{come_back: 10, zone: 4, hour: 4, pause: 4, resume: 3, leave: 3, move: 3},
        **{library: 3, recommend: 3, weekdays: 2, join: 1, suppress: 1},
    }

    def arrived(self):
        return [one for one in self.world.wire.arrived if one.letter.subscriber_id == self.pk]

    def got(self):
        return set().union(*(one.papers for one in self.arrived()))

    def keeps_the_invariants(self):
        came = self.arrived()
        first = {one.letter.pk: one for one in reversed(came)}
        digests = sorted(first.values(), key=lambda one: one.at)
        numbers = [one.letter.pk for one in came]
        assert all(one.mime == first[one.letter.pk].mime for one in came)
        assert all(numbers.count(number) <= 2 for number in numbers)
        assert len({one.letter.day for one in digests}) == len(digests)
        assert sum(len(one.papers) for one in digests) == len(self.got())
        for one in digests:
            early = {pk for pk, at in self.excluded.items() if at < one.letter.created_at}
            assert one.papers.isdisjoint(early)
        for earlier, later in pairwise(came):
            created = earlier.letter.created_at, later.letter.created_at
            is_first = any(abs(a - b) <= HOUR for a in self.confirmed for b in created)
            apart = schedule.MIN_GAP_AFTER_FIRST if is_first else schedule.MIN_GAP
            assert later.letter == earlier.letter or later.at - earlier.at >= apart
        left_at = self.subscriber.unsubscribed_at
        assert left_at is None or not came or came[-1].at <= left_at

    def has_all_papers(self):
        """They have all papers that came out since they confirmed, but for what nobody knows."""
        if not self.subscriber.unsubscribed_at:
            unknown = Pick.objects.filter(subscriber=self.pk).values_list("paper", flat=True)
            assert self.papers <= self.got() | set(unknown)


class World:
    """All subscribers, and what happens to all of them."""

    def __init__(self, seed, clock, wire):
        self.chance, self.clock, self.wire = random.Random(seed), clock, wire
        self.clock.now = datetime(2026, 10, 23, 12, tzinfo=UTC)  # Before most clocks go back.
        muted = make.topic(MUTED)
        self.members = [Life(self), Life(self, interests=FOLLOWED, muted=[muted])]
        self.channel = Life(self, channel="json", title="Lab")
        group = make.group(channel=self.channel.subscriber)
        for number, life in enumerate(self.members):
            make.member(group, f"Member {number}", life.subscriber, now=self.clock.now)

    def wait(self, hours=None):
        ends = self.clock.now + (hours or self.chance.randint(1, 40)) * HOUR
        while self.clock.now < ends:
            plan.plan(self.clock.now)
            queue.sweep(self.clock.now)
            worker.deliver_due(lambda: self.clock.now)
            self.wire.look_up()
            self.clock.now = self._next_moment(ends)

    def _next_moment(self, ends):
        """Return the next minute in which something is due, at `ends` the latest."""
        due = [ends, circuit_breaker.current().retry_at]
        due += Subscriber.objects.values_list("next_due_at", flat=True)
        for moments in Letter.objects.open().values_list("next_try_at", "lease_until", "closes_at"):
            due += moments
        now = self.clock.now
        soonest = min(moment for moment in due if moment and moment > now)
        return max(soonest.replace(second=0) + MINUTE * bool(soonest.second), now + MINUTE)

    def nothing_runs(self):
        self.clock.now += self.chance.randint(1, 60) * HOUR

    def paper(self):
        categories = self.chance.choice([[FOLLOWED], [FOLLOWED], [MUTED], [FOLLOWED, MUTED], []])
        now = self.clock.now
        paper = make.paper(day=now.date(), now=now, categories=categories).pk
        everything, followed = self.members
        for life in (everything, *[followed] * (categories == [FOLLOWED])):
            if not life.subscriber.unsubscribed_at:
                life.papers.add(paper)
        if MUTED in categories:
            followed.exclude(paper)

    def withdraw(self):
        for paper in Paper.objects.order_by("-pk")[:1]:
            Paper.objects.filter(pk=paper.pk).update(is_withdrawn=True, changed_at=self.clock.now)
            for life in (*self.members, self.channel):
                life.exclude(paper.pk)

    def mood(self):
        self.wire.mood = self.chance.choice(list(MOODS))
        self.wait(self.chance.randint(1, 30))
        self.wire.mood = "kind"

    def stop(self):
        circuit_breaker.stop("the operator", self.clock.now)
        self.wait()
        circuit_breaker.resume("the operator", self.clock.now)

    def worker_dies(self):
        plan.plan(self.clock.now)
        medium = self.chance.choice([Letter.EMAILS, Letter.POSTS])
        with transaction.atomic():
            claimed, _ = transitions.claim(self.clock.now, 10, medium=medium)
        batches = rendering.render_letters(claimed, self.clock.now)
        frozen = {
            letter.pk: made
            for letter, made in chain.from_iterable(batches)
            if isinstance(made, transitions.FrozenMessage)
        }
        if self.chance.random() < 0.6:
            letters = [letter for letter in claimed if letter.pk in frozen]
            with transaction.atomic():
                passed = transitions.final_check(letters, frozen, self.clock.now).passed
            for letter in passed if self.chance.random() < 0.5 else ():
                self.wire.take(letter.pk, frozen[letter.pk].mime)

    WEIGHTS = {wait: 30, paper: 20, mood: 6, worker_dies: 5, nothing_runs: 2, withdraw: 2, stop: 1}

    def go_on(self, events):
        acts = [(act, [self], weight) for act, weight in self.WEIGHTS.items()]
        acts += [(act, self.members, weight) for act, weight in Life.WEIGHTS.items()]
        weights = [weight for _, _, weight in acts]
        for act, whose, _ in self.chance.choices(acts, weights, k=events):
            act(self.chance.choice(whose))

    def keeps_the_invariants(self):
        for life in (*self.members, self.channel):
            life.keeps_the_invariants()
        late = {"planned", "ended", "held"}  # Where nothing ran, they are.
        assert not broken(self.clock.now).keys() - late

    def ends_well(self):
        for life in self.members:
            life.resume()
            life.change(weekdays=schedule.EVERY_DAY, is_monthly=False)
        self.wait(hours=80)
        assert broken(self.clock.now) == {}
        self.keeps_the_invariants()
        for life in self.members:
            life.has_all_papers()


@pytest.fixture
def begin(settings, monkeypatch, clock):
    """Return a function that makes a world, whose letters one server takes."""
    settings.EMAIL_URL = "smtp://127.0.0.1:9"

    def begin(seed):
        wire = Wire(clock)
        monkeypatch.setattr(worker, "transport_for", lambda url: wire)
        monkeypatch.setattr(worker, "ChannelTransport", lambda: wire)
        return World(seed, clock, wire)

    return begin


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(one, marks=pytest.mark.nightly) for one in range(3, 60))]
)
def test_invariants_hold_through_random_events(seed, begin):
    world = begin(seed)
    for _ in range(8):
        world.go_on(events=5)
        world.keeps_the_invariants()
    world.ends_well()


class Lost(Exception):
    """A backup is put back: what was written since is gone."""


@pytest.mark.parametrize(
    "seed", [9, *(pytest.param(one, marks=pytest.mark.nightly) for one in range(10, 40))]
)
def test_delivered_papers_are_not_resent_after_restore(seed, begin, clock):
    world = begin(seed)
    arrived = world.wire.arrived

    def arrived_days(start):
        return {(one.letter.subscriber_id, one.letter.day) for one in arrived[start:]}

    world.go_on(events=15)
    before, since = len(arrived), clock.now
    with suppress(Lost), transaction.atomic():
        # What was changed in these hours is as before, which nothing can mend.
        for _ in range(world.chance.randint(1, 8)):
            world.chance.choice([world.wait, world.paper])()
        raise Lost
    circuit_breaker.stop("the operator", clock.now)
    for hours in world.chance.choices([1, 10, 26], k=world.chance.randrange(4)):
        world.wait(hours)
    restoring.skip(since, clock.now)
    circuit_breaker.resume("the operator", clock.now)
    lost = arrived_days(before)
    counted = Letter.objects.filter(state="accepted").values_list("subscriber", "day")
    assert lost <= set(counted)
    before = len(arrived)
    world.go_on(events=15)
    assert lost.isdisjoint(arrived_days(before))
