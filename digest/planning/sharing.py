"""Groups: the digest of a group, and the papers that a group shares with its members."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.db.models import Q

from digest.models import LibraryPaper, Paper, Pick, Recommendation
from digest.models.bulk_insert import among
from digest.papers.duplicates import aliases_of
from digest.personalization.profiles import profiles_of
from digest.ranking.profile import Profile
from digest.ranking.retrieval import muted
from digest.ranking.selection import Choice, choose
from subscriptions.models import Group, Membership

MAX_SHARED = 5  # Papers that groups share in one digest. Its size does not count them.
PRIVATE = "learned", "added"  # Reasons that only the member may see.
SHARED_DAYS = 7  # Days of a group's digests whose papers its members may get.


@dataclass(frozen=True)
class Groups:
    """The groups of some subscribers.

    Attributes
    ----------
    members : dict of int to list of Profile
        By recipient, the profiles of the members who joined.
    members_of_recipient : dict of int or None to list of (int, str)
        By recipient, those of the subscribers who joined, each with the group's name. None stands
        for a missing recipient.
    """

    members: dict[int, list[Profile]]
    members_of_recipient: dict[int | None, list[tuple[int, str]]]

    @classmethod
    def of(cls, subscribers) -> "Groups":
        """Runs one query. If there are groups, four more."""
        ids = {subscriber.pk: subscriber for subscriber in subscribers}
        rows = Group.objects.order_by().values_list("pk", "channel", "mailing_list")
        recipients = {group: [pk for pk in pks if pk in ids] for group, *pks in rows}
        members = {pk: [] for pks in recipients.values() for pk in pks}
        members_of_recipient = defaultdict(list)
        if recipients:
            theirs = among("group", (group for group, pks in recipients.items() if pks))
            joined = Membership.objects.joined().filter(theirs | Q(among("subscriber", ids)))
            joined = list(joined.select_related("subscriber", "group").order_by("pk"))
            profiles = profiles_of([row.subscriber for row in joined])
            for row, profile in zip(joined, profiles, strict=True):
                for pk in (row.group.channel_id, row.group.mailing_list_id):
                    if pk in members:
                        size = ids[pk].size
                        members[pk].append(replace(profile, size=size, wants_near=False))
                    if row.subscriber_id in ids:
                        members_of_recipient[pk].append((row.subscriber_id, row.group.name))
        return cls(members, members_of_recipient)

    def choose(self, subscribers, profiles, window, hidden, parameters, since):
        """Return each subscriber's papers, best first.

        The papers of a group's recipient are ranked with the profiles of the members, without near
        misses.
        """
        pairs = zip(subscribers, profiles, strict=True)
        rankers = [self.members.get(subscriber.pk, [own]) for subscriber, own in pairs]
        owners = [owner for owner, theirs in enumerate(rankers) for _ in theirs]
        flat, had = [one for theirs in rankers for one in theirs], [hidden[one] for one in owners]
        starts = [since[one] for one in owners]
        ranked = iter(choose(window.model, window.papers, flat, had, parameters, since=starts))
        ideas, chosen = window.papers.ideas, []
        for subscriber, theirs in zip(subscribers, rankers, strict=True):
            each = [next(ranked) for _ in theirs]
            is_group = subscriber.pk in self.members
            chosen.append(merged(each, ideas, subscriber.size) if is_group else each[0])
        return chosen

    def share(self, subscribers, digests, profiles, window, recovered, until) -> None:
        """Add the papers that groups share to digests that have papers, at most MAX_SHARED to each.

        First those that members recommended, the oldest recommendation first, then those of the
        groups' digests, the latest first, except muted ones. Leaves out papers that the subscriber
        has had, has in the library or gets anyway, under any id.
        `recovered`, `until`: see Recovered.
        """
        if not self.members_of_recipient:
            return
        readers = {}
        for subscriber, digest, profile in zip(subscribers, digests, profiles, strict=True):
            if digest and subscriber.pk not in self.members:
                known = {one for choice in digest for one in (choice.paper, *choice.relatives)}
                known |= recovered.ids.get(subscriber.pk, set())
                readers[subscriber.pk] = digest, profile.mutes, known, len(digest) + MAX_SHARED
        allowed = {"paper__is_withdrawn": False, "paper__day__gt": until or date.min}
        rows = Recommendation.objects.valid().filter(among("receiver", readers), **allowed)
        offers = [
            (row.receiver_id, Choice(row.paper_id, 0.0, "advice", "shared", row.sender_name, note))
            for row in rows.order_by("at", "pk")
            for note in [(row.note,) if row.note else ()]
        ]
        after = window.day - timedelta(days=SHARED_DAYS)
        recipients = filter(None, self.members_of_recipient)
        rows = Pick.objects.leading().filter(digest__subscriber__in=recipients)
        rows = rows.filter(digest__day__gt=after, **allowed).order_by("-digest__day", "position")
        offers += [
            (pk, Choice(paper, 0.0, "group", "shared", name))
            for recipient, paper in rows.values_list("subscriber", "paper")
            for pk, name in self.members_of_recipient[recipient]
            if pk in readers
        ]
        works = {choice.paper: {choice.paper} for _, choice in offers}
        for other, same in aliases_of(Paper.objects.filter(pk__in=works)).items():
            for paper in same:
                works[paper].add(other)
        ids, theirs = set().union(*works.values()), among("subscriber", {pk for pk, _ in offers})
        picks = Pick.objects.filter(theirs, paper__in=ids).values_list("subscriber", "paper")
        library = LibraryPaper.objects.filter(theirs, identity__in=ids)
        for pk, paper in [*picks, *library.values_list("subscriber", "identity")]:
            readers[pk][2].add(paper)
        for pk, choice in offers:
            digest, mutes, known, limit = readers[pk]
            is_known = known & works[choice.paper] or len(digest) == limit
            if not is_known and (choice.basis == "advice" or not _hides(mutes, choice, window)):
                digest.append(choice)
                known |= works[choice.paper]


def merged(of_members: Iterable[list[Choice[int]]], ideas, size: int) -> list[Choice[int]]:
    """Return the papers of a group's digest, from those that each member would get, best first.

    The members take turns: the first paper of each, then the second of each, and so on. In a turn,
    papers that more members would get come first, then those with a higher score. `ideas` numbers
    the idea of each paper: papers on one idea are one, and the others are folded into the first.

    Reasons name no member. Those from feedback and from added papers lose their words, which only
    the member may see.
    """
    found = defaultdict(list)
    for choices in of_members:
        for turn, choice in enumerate(choices):
            row = turn, choice.basis in PRIVATE, -choice.score, choice
            found[ideas[choice.paper]].append(row)
    ranked = [sorted(same, key=lambda row: row[:3]) for same in found.values()]
    ranked.sort(key=lambda same: (same[0][0], -len(same), min(row[2] for row in same)))
    chosen = []
    for same in ranked[:size]:
        choice = same[0][3]
        papers = dict.fromkeys(one for row in same for one in (row[3].paper, *row[3].relatives))
        why = {"basis": "group", "topic": "", "terms": ()} if choice.basis in PRIVATE else {}
        chosen.append(replace(choice, relatives=tuple(papers)[1:], **why))
    return chosen


def _hides(mutes, choice, window):
    """Return whether a muted interest hides the paper. One outside of the window may be hidden."""
    if choice.paper not in window.places:
        return bool(mutes)
    place = window.places[choice.paper]
    return any(muted(window.model, window.papers, mute)[place] for mute in mutes)
