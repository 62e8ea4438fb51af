"""Groups: the digest of a group, and the papers that a group shares with its members."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import chain
from operator import itemgetter

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
    receiver_ids = {group: [pk for pk in pks if pk in due_by_id] for group, *pks in rows}
    if not receiver_ids:
        return
    for pk in chain.from_iterable(receiver_ids.values()):
        due_by_id[pk].member_profiles = []
    in_groups = among("group", (group for group, pks in receiver_ids.items() if pks))
    memberships = Membership.objects.joined().filter(in_groups | Q(among("subscriber", due_by_id)))
    memberships = list(memberships.select_related("subscriber", "group").order_by("pk"))
    profiles = profiles_of([membership.subscriber for membership in memberships])
    for membership, profile in zip(memberships, profiles, strict=True):
        group = membership.group
        for pk in receiver_ids[group.pk]:
            size = due_by_id[pk].subscriber.size
            member_profile = replace(profile, size=size, wants_near=False)
            due_by_id[pk].member_profiles.append(member_profile)
        if due := due_by_id.get(membership.subscriber_id):
            group_receivers = [pk for pk in (group.channel_id, group.mailing_list_id) if pk]
            due.groups.append((group.name, group_receivers))


def add_shared_papers(dues: Iterable[DueSubscriber], window: Window) -> None:
    """Add the papers that groups share to digests that have papers, at most MAX_SHARED to each.

    Recommended papers come first, by the date of the recommendation, then the papers of the groups'
    digests, the latest first, except muted ones. Leaves out papers that the subscriber has had, has
    in the library or gets anyway, under any id.
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
    members_by_receiver = defaultdict(list)
    for due in dues_by_id.values():
        for name, receiver_ids in due.groups:
            for pk in receiver_ids:
                members_by_receiver[pk].append((due, name))
    first_day = window.day - timedelta(days=SHARED_DAYS)
    picks = Pick.objects.leading().order_by("-digest__day", "position").filter(**not_withdrawn)
    picks = picks.filter(digest__subscriber__in=members_by_receiver, digest__day__gt=first_day)
    for pk, paper, day in picks.values_list("subscriber", "paper", "paper__day"):
        for due, name in members_by_receiver[pk]:
            offers.append((due, day, Choice(paper, 0.0, "group", "shared", name)))
    offers = [(due, choice) for due, day, choice in offers if day > (due.sent_until or date.min)]
    work_ids = {choice.paper: {choice.paper} for _, choice in offers}
    for alias, paper_ids in aliases_of(Paper.objects.filter(pk__in=work_ids)).items():
        for paper in paper_ids:
            work_ids[paper].add(alias)
    known_ids = _known_ids(offers, set().union(*work_ids.values()))
    limits = {due: len(due.papers) + MAX_SHARED for due, _ in offers}
    for due, choice in offers:
        ids = work_ids[choice.paper]
        if known_ids[due] & ids or len(due.papers) == limits[due]:
            continue
        if choice.basis == "advice" or not _hides(due.profile.mutes, choice, window):
            due.papers.append(choice)
            known_ids[due] |= ids


def _known_ids(offers, ids) -> dict[DueSubscriber, set[str]]:
    """Return the ids of the papers that each subscriber has had, has in the library, or gets.

    The history and the library are searched for `ids` only.
    """
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


def merge(member_choices: Iterable[list[Choice]], papers: CandidateSet, size: int) -> list[Choice]:
    """Return the papers of a group's digest, from those that each member would get, best first.

    The members take turns: the first paper of each, then the second of each, and so on. In a turn,
    papers that more members would get come first, then papers with a higher score. Of papers on one
    idea, the first is chosen and the others are folded into it.

    Reasons name no member. Reasons from feedback and from added papers lose their words, which only
    the member may see.
    """
    ranked_by_idea = defaultdict(list)
    for choices in member_choices:
        for turn, choice in enumerate(choices):
            sort_key = turn, choice.basis in PRIVATE, -choice.score
            ranked_by_idea[papers.ideas[papers.places[choice.paper]]].append((sort_key, choice))
    ideas = [sorted(ranked, key=itemgetter(0)) for ranked in ranked_by_idea.values()]
    # By the first turn of the idea, the number of members and the best score.
    ideas.sort(key=lambda ranked: (ranked[0][0][0], -len(ranked), min(key[2] for key, _ in ranked)))
    merged_choices = []
    for ranked in ideas[:size]:
        choice = ranked[0][1]
        ids = dict.fromkeys(pk for _, match in ranked for pk in (match.paper, *match.relatives))
        reason = {"basis": "group", "topic": "", "terms": ()} if choice.basis in PRIVATE else {}
        merged_choices.append(replace(choice, relatives=tuple(ids)[1:], **reason))
    return merged_choices


def _hides(mutes, choice, window):
    """Return whether a mute hides the paper. Outside of the window, any mute may do so."""
    place = window.papers.places.get(choice.paper)
    if place is None:
        return bool(mutes)
    return any(muted(window.model, window.papers, mute)[place] for mute in mutes)
