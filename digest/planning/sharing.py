"""Groups: the digest of a group, and the papers that a group shares with its members."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from django.db.models import Q

from digest.indexing.candidate_windows import Window
from digest.models import LibraryPaper, Paper, Pick, Recommendation
from digest.models.bulk_insert import among
from digest.papers.duplicates import aliases_of
from digest.personalization.profiles import profiles_of
from digest.planning.due import DueSubscriber
from digest.ranking.candidates import CandidateSet
from digest.ranking.ranking import Choice
from digest.ranking.retrieval import muted
from subscriptions.models import Group, Membership

MAX_SHARED = 5  # Papers that groups share in one digest. Its size does not count them.
PRIVATE = "learned", "added"  # Reasons that only the member may see.
SHARED_DAYS = 7  # Days of a group's digests whose papers its members may get.


def add_groups(dues: Sequence[DueSubscriber]) -> None:
    """Set the groups of subscribers. Runs one query. If there are groups, four more."""
    due_by_id = {due.subscriber.pk: due for due in dues}
    for due in dues:
        due.groups, due.member_profiles = [], None
    rows = Group.objects.order_by().values_list("pk", "channel", "mailing_list")
    receivers = {group: [pk for pk in pks if pk in due_by_id] for group, *pks in rows}
    if not receivers:
        return
    for pk in (pk for pks in receivers.values() for pk in pks):
        due_by_id[pk].member_profiles = []
    in_groups = among("group", (group for group, pks in receivers.items() if pks))
    memberships = Membership.objects.joined().filter(in_groups | Q(among("subscriber", due_by_id)))
    memberships = list(memberships.select_related("subscriber", "group").order_by("pk"))
    profiles = profiles_of([membership.subscriber for membership in memberships])
    for membership, profile in zip(memberships, profiles, strict=True):
        group = membership.group
        for pk in receivers[group.pk]:
            size = due_by_id[pk].subscriber.size
            profile_of_member = replace(profile, size=size, wants_near=False)
            due_by_id[pk].member_profiles.append(profile_of_member)
        if due := due_by_id.get(membership.subscriber_id):
            receiver_ids = [pk for pk in (group.channel_id, group.mailing_list_id) if pk]
            due.groups.append((group.name, receiver_ids))


def add_shared_papers(dues: Iterable[DueSubscriber], window: Window) -> None:
    """Add the papers that groups share to digests that have papers, at most MAX_SHARED to each.

    First those that members recommended, the oldest recommendation first, then those of the
    groups' digests, the latest first, except muted ones. Leaves out papers that the subscriber
    has had, has in the library or gets anyway, under any id.
    """
    dues_by_id = {
        due.subscriber.pk: due
        for due in dues
        if due.groups and due.papers and due.member_profiles is None
    }
    if not dues_by_id:
        return
    not_withdrawn, offers = {"paper__is_withdrawn": False}, []
    valid = Recommendation.objects.valid().filter(among("receiver", dues_by_id), **not_withdrawn)
    fields = "receiver", "paper", "paper__day", "sender_name", "note"
    for pk, paper, day, name, note in valid.order_by("at", "pk").values_list(*fields):
        terms = (note,) if note else ()
        offers.append((dues_by_id[pk], day, Choice(paper, 0.0, "advice", "shared", name, terms)))
    members = defaultdict(list)
    for due in dues_by_id.values():
        for name, receiver_ids in due.groups:
            for pk in receiver_ids:
                members[pk].append((due, name))
    first_day = window.day - timedelta(days=SHARED_DAYS)
    picks = Pick.objects.leading().filter(digest__subscriber__in=members, digest__day__gt=first_day)
    picks = picks.filter(**not_withdrawn).order_by("-digest__day", "position")
    for pk, paper, day in picks.values_list("subscriber", "paper", "paper__day"):
        for due, name in members[pk]:
            offers.append((due, day, Choice(paper, 0.0, "group", "shared", name)))
    offers = [(due, choice) for due, day, choice in offers if day > (due.sent_until or date.min)]
    works = {choice.paper: {choice.paper} for _, choice in offers}
    for alias, paper_ids in aliases_of(Paper.objects.filter(pk__in=works)).items():
        for paper in paper_ids:
            works[paper].add(alias)
    known_ids = _known_ids(offers, set().union(*works.values()))
    limits = {due: len(due.papers) + MAX_SHARED for due, _ in offers}
    for due, choice in offers:
        ids = works[choice.paper]
        if known_ids[due] & ids or len(due.papers) == limits[due]:
            continue
        if choice.basis == "advice" or not _hides(due.profile.mutes, choice, window):
            due.papers.append(choice)
            known_ids[due] |= ids


def _known_ids(offers, ids) -> dict[DueSubscriber, set[str]]:
    """Return which of these papers each subscriber has had, has in the library, or gets."""
    known_ids = {
        due: due.excluded.union(*((choice.paper, *choice.relatives) for choice in due.papers))
        for due, _ in offers
    }
    due_by_id = {due.subscriber.pk: due for due in known_ids}
    is_theirs = among("subscriber", due_by_id)
    picks = Pick.objects.filter(is_theirs, paper__in=ids).values_list("subscriber", "paper")
    library = LibraryPaper.objects.filter(is_theirs, identity__in=ids)
    for pk, paper in [*picks, *library.values_list("subscriber", "identity")]:
        known_ids[due_by_id[pk]].add(paper)
    return known_ids


def merge(of_members: Iterable[list[Choice]], papers: CandidateSet, size: int) -> list[Choice]:
    """Return the papers of a group's digest, from those that each member would get, best first.

    The members take turns: the first paper of each, then the second of each, and so on. In a turn,
    papers that more members would get come first, then those with a higher score. Papers on one
    idea are one, and the others are folded into the first.

    Reasons name no member. Those from feedback and from added papers lose their words, which only
    the member may see.
    """
    rows_by_idea = defaultdict(list)
    for choices in of_members:
        for turn, choice in enumerate(choices):
            row = turn, choice.basis in PRIVATE, -choice.score, choice
            rows_by_idea[papers.ideas[papers.places[choice.paper]]].append(row)
    ranked = [sorted(rows, key=lambda row: row[:3]) for rows in rows_by_idea.values()]
    ranked.sort(key=lambda rows: (rows[0][0], -len(rows), min(row[2] for row in rows)))
    merged_choices = []
    for rows in ranked[:size]:
        choice = rows[0][3]
        works = dict.fromkeys(pk for row in rows for pk in (row[3].paper, *row[3].relatives))
        reason = {"basis": "group", "topic": "", "terms": ()} if choice.basis in PRIVATE else {}
        merged_choices.append(replace(choice, relatives=tuple(works)[1:], **reason))
    return merged_choices


def _hides(mutes, choice, window):
    """Return whether a muted interest hides the paper. One outside of the window may be hidden."""
    place = window.papers.places.get(choice.paper)
    if place is None:
        return bool(mutes)
    return any(muted(window.model, window.papers, mute)[place] for mute in mutes)
