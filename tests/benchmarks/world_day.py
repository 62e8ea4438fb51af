"""A week of a world's delivery hours, simulated: where digests queue, and how late they leave.

    uv run python -m tests.benchmarks.world_day                     # what each size needs
    uv run python -m tests.benchmarks.world_day 1000000 --workers 2 # one house, hour by hour
    uv run python -m tests.benchmarks.world_day 1000000 --pace google=1000 --outage 7

Minute by minute, in whole digests: who is due waits for her shard's planner, then for a worker and
for the pace of her mailbox provider, the oldest first. Nothing is drawn at random, so the same
house has the same week. What a digest costs was measured (docs/scale.md); who lives where is partly
counted, and when they want their letter is a guess: both are told below.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil, floor

from subscriptions.schedule import GRACE

# ---- What was measured: milliseconds of CPU for each digest, on a busy machine

PLANNING_MS, DELIVERY_MS = 1.04, 0.92  # Of a worker's core.
POSTGRESQL_MS = 0.63  # Of PostgreSQL's cores, for both.
BUSY = 0.6  # So much of its time a database may work before everybody waits for it.
DATABASE_CORES = 8

# ---- Who lives where, as hours from UTC in June, in percent

#: Of the world's researchers, the EU (then with the United Kingdom) has 22.2 %, China 19.1, the
#: United States 16.7, Japan 8.5, Russia 5.7 (UNESCO Science Report: Towards 2030). How these are
#: spread over their zones, and the other 27.8 over the world, is our guess.
ZONES = {
    **{-7: 3.4, -6: 1.5, -5: 5.2, -4: 10.0, -3: 2.9},
    **{0: 0.4, 1: 4.4, 2: 17.3, 3: 11.9, 3.5: 1.2, 5: 1.7, 5.5: 2.7},
    **{7: 2.4, 8: 20.4, 9: 12.6, 10: 1.6, 12: 0.4},
}
#: Which local hour they want, in percent. Seven is what a reader gets who says nothing.
HOURS = {5: 2, 6: 8, 7: 45, 8: 20, 9: 10, 10: 3, 12: 3, 17: 2, 18: 3, 20: 3, 22: 1}
#: How many want none on Saturday and Sunday.
WEEKDAYS_ONLY = 0.3
#: Whose mailboxes they have, in percent. Their own pace is a parameter: nobody publishes one.
PROVIDERS = {"google": 35, "microsoft": 25, "others": 40}

HOUR, DAY = 60, 24 * 60  # Minutes.
IN_TIME = 10  # Minutes within which 99 of 100 digests should leave.
SIZES = (10**5, 10**6, 10**7, 10**8)


@dataclass(frozen=True)
class House:
    """What there is to serve the subscribers. Each shard has a database, a planner and workers.

    Rates are digests a second; `paces`, as PROVIDER_RATES, letters a minute of the whole house. In
    the minutes of the outage, no mail server takes any.
    """

    subscribers: int
    shards: int = 1
    workers: int = 1
    planner_rate: float = 1000 / PLANNING_MS
    worker_rate: float = 1000 / DELIVERY_MS
    database_rate: float = DATABASE_CORES * BUSY * 1000 / POSTGRESQL_MS
    paces: Mapping[str, float] = field(default_factory=dict)
    outage: range = range(0)

    @property
    def sending_rate(self) -> float:
        return self.shards * min(self.workers * self.worker_rate, self.database_rate)


@dataclass
class Cohort:
    """Those who are due in one minute and whose day ends in one: how many, by provider."""

    due: int
    closes: int
    left: list[int]


@dataclass
class Week:
    """What became of all digests. Lags are in minutes, by the hour (UTC) in which they were due."""

    due: int = 0
    sent: int = 0
    missed: int = 0
    lags: dict[int, Counter] = field(
        default_factory=lambda: {hour: Counter() for hour in range(24)}
    )
    backlog: list[int] = field(default_factory=lambda: [0] * 24)  # The most in any such hour.
    waited: Counter = field(default_factory=Counter)  # Minutes, by what they waited for.

    def note_sent(self, due: int, lag: int, count: int) -> None:
        self.sent += count
        self.lags[due // HOUR % 24][lag] += count

    def lag(self, share: float, hours: Iterable[int] = range(24)) -> int:
        """Return the lag within which this share of what was sent left."""
        counts = sum((self.lags[hour] for hour in hours), Counter())
        return _at(sorted(counts.items()), share * counts.total())

    @property
    def wall(self) -> str:
        """Return what the digests waited for most."""
        return self.waited.most_common(1)[0][0] if self.waited.total() else ""


def _at(counts, place):
    passed = 0
    for lag, count in counts:
        passed += count
        if passed >= place:
            return lag
    return 0


# ---- Who is due


def world(subscribers: int) -> list[Cohort]:
    """Return a week's digests, the earliest first."""
    found: dict[tuple[int, int], Cohort] = {}
    for day in range(7):
        wanting = subscribers * (1 - WEEKDAYS_ONLY if day >= 5 else 1)
        for offset, in_zone in ZONES.items():
            for hour, at_hour in HOURS.items():
                count = wanting * in_zone * at_hour / sum(ZONES.values()) / sum(HOURS.values())
                due = day * DAY + hour * HOUR - round(offset * HOUR) + DAY
                closes = due + (24 - hour) * HOUR + round(GRACE.total_seconds() / 60)
                cohort = found.setdefault((due, closes), Cohort(due, closes, [0] * len(PROVIDERS)))
                _add(cohort.left, _divided(round(count)))
    return [found[key] for key in sorted(found)]


def _divided(count):
    """Return the count divided among the providers, as whole letters."""
    ends = [0]
    for share in PROVIDERS.values():
        ends.append(ends[-1] + share)
    cuts = [count * end // ends[-1] for end in ends]
    return [high - low for low, high in pairwise(cuts)]


def _add(counts, more):
    for place, one in enumerate(more):
        counts[place] += one


# ---- What becomes of them


def simulate(cohorts: list[Cohort], house: House) -> Week:
    """Let the house plan and send these digests until none is left."""
    week = Week()
    coming = [replace(cohort, left=list(cohort.left)) for cohort in cohorts][::-1]
    unplanned: list[Cohort] = []
    waiting: list[Cohort] = []
    minute = coming[-1].due if coming else 0
    while coming or unplanned or waiting:
        while coming and coming[-1].due <= minute:
            week.due += sum(coming[-1].left)
            unplanned.append(coming.pop())
        week.missed += _close(unplanned, minute) + _close(waiting, minute)
        _plan(unplanned, waiting, house, minute)
        _send(waiting, house, minute, week)
        _note_waiting(unplanned, waiting, house, minute, week)
        minute += 1
    return week


def _plan(unplanned, waiting, house, minute):
    budget = _whole(house.shards * house.planner_rate * 60, minute)
    for cohort, taken in _take(unplanned, budget, [budget] * len(PROVIDERS)):
        if waiting and waiting[-1].due == cohort.due and waiting[-1].closes == cohort.closes:
            _add(waiting[-1].left, taken)
        else:
            waiting.append(replace(cohort, left=taken))


def _send(waiting, house, minute, week):
    if minute in house.outage:
        return
    budget = _whole(house.sending_rate * 60, minute)
    room = [_room(house, provider, minute, budget) for provider in PROVIDERS]
    for cohort, taken in _take(waiting, budget, room):
        week.note_sent(cohort.due, minute - cohort.due, sum(taken))


def _room(house, provider, minute, budget):
    if provider not in house.paces:
        return budget
    return _whole(house.paces[provider], minute)


def _whole(rate, minute):
    """Return how many whole digests a rate lets through in this minute."""
    return floor(rate * (minute + 1)) - floor(rate * minute)


def _take(queue, budget, room):
    """Take so many from the queue, the oldest first, and of each provider as many as it lets in.

    Return what was taken of each cohort. Those of which nothing is left are out of the queue.
    """
    taken = []
    for cohort in queue:
        if budget == 0:
            break
        counts = []
        for place, left in enumerate(cohort.left):
            count = min(left, budget, room[place])
            budget -= count
            room[place] -= count
            cohort.left[place] -= count
            counts.append(count)
        taken.append((cohort, counts))
    queue[:] = [cohort for cohort in queue if any(cohort.left)]
    return taken


def _close(queue, minute):
    """Take out those whose day has ended. Return how many they are."""
    over = sum(sum(cohort.left) for cohort in queue if cohort.closes <= minute)
    queue[:] = [cohort for cohort in queue if cohort.closes > minute]
    return over


def _note_waiting(unplanned, waiting, house, minute, week):
    """Note who waits at the end of the minute, and for what."""
    to_plan = sum(sum(cohort.left) for cohort in unplanned)
    to_send = sum(sum(cohort.left) for cohort in waiting)
    hour = minute // HOUR % 24
    week.backlog[hour] = max(week.backlog[hour], to_plan + to_send)
    week.waited["planner"] += to_plan
    week.waited[_why_unsent(waiting, house, minute)] += to_send


def _why_unsent(waiting, house, minute):
    if minute in house.outage:
        return "mail server"
    free = [place for place, name in enumerate(PROVIDERS) if name not in house.paces]
    is_free = any(cohort.left[place] for cohort in waiting for place in free)
    if house.paces and not is_free:
        return "pace"
    by_database = house.workers * house.worker_rate > house.database_rate
    return "database" if by_database else "workers"


# ---- What each size needs


def fitting(subscribers: int) -> House:
    """Return the house with the fewest shards in which 99 of 100 digests leave IN_TIME.

    Each shard has as many workers as its planner keeps busy.
    """
    house = House(subscribers)
    house = replace(house, workers=ceil(house.planner_rate / house.worker_rate))
    cohorts = world(subscribers)
    few, many = 0, 1
    while not _is_in_time(cohorts, replace(house, shards=many)):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        if _is_in_time(cohorts, replace(house, shards=middle)):
            many = middle
        else:
            few = middle
    return replace(house, shards=many)


def _is_in_time(cohorts, house):
    return simulate(cohorts, house).lag(0.99) <= IN_TIME


# ---- Told


def tell_needs() -> None:
    """Print what each size does with one house, and what it would need."""
    print(
        f"{'subscribers':>12}  {'house':24}{'median':>7}{'p99':>7}{'worst':>7}{'missed':>13}  wall"
    )
    for subscribers in SIZES:
        small, fit = House(subscribers), fitting(subscribers)
        for house in [small] if small == fit else [small, fit]:
            _tell_house(house)


def _tell_house(house):
    week = simulate(world(house.subscribers), house)
    said = f"{house.shards} shards, {house.workers} workers each"
    lags = "".join(f"{week.lag(share):>7}" for share in (0.5, 0.99, 1))
    print(f"{house.subscribers:>12,}  {said:24}{lags}{week.missed:>13,}  {week.wall}")


def tell_hours(house: House) -> None:
    """Print a house's week, hour by hour."""
    week = simulate(world(house.subscribers), house)
    print(f"{house.subscribers:,} subscribers, {house.shards} shards, {house.workers} workers each")
    print(f"{'UTC':>4}{'sent':>14}{'backlog':>13}{'median':>8}{'p99':>8}{'worst':>8}")
    for hour in range(24):
        lags = "".join(f"{week.lag(share, [hour]):>8}" for share in (0.5, 0.99, 1))
        sent, backlog = week.lags[hour].total(), week.backlog[hour]
        print(f"{hour:>4}{sent:>14,}{backlog:>13,}{lags}")
    total = "".join(f"{week.lag(share):>8}" for share in (0.5, 0.99, 1))
    print(f"{'all':>4}{week.sent:>14,}{max(week.backlog):>13,}{total}")
    print(f"due {week.due:,}, missed {week.missed:,}; most waited for: {week.wall or 'nothing'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("subscribers", type=int, nargs="?")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="of each shard, a core each")
    parser.add_argument("--pace", action="append", default=[], metavar="PROVIDER=A_MINUTE")
    parser.add_argument("--outage", type=int, metavar="HOUR", help="UTC, on Wednesday, for an hour")
    options = parser.parse_args()
    if options.subscribers is None:
        return tell_needs()
    begin = None if options.outage is None else 3 * DAY + options.outage * HOUR
    paces = {name: float(rate) for name, _, rate in (one.partition("=") for one in options.pace)}
    house = House(
        options.subscribers,
        shards=options.shards,
        workers=options.workers,
        paces=paces,
        outage=range(0) if begin is None else range(begin, begin + HOUR),
    )
    return tell_hours(house)


if __name__ == "__main__":
    main()
