"""Why digests have no papers: one sentence, the same on all pages and in the welcome email."""

import pytest
from django.urls import reverse

from digest.models import Paper
from digest.planning import explain, plan
from subscriptions.models import Letter, Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.explanations import ABSTRACT, background_papers, plan_and_send, token_of
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.admin_pages import page
from tests.helpers.data_files import cases

pytestmark = pytest.mark.django_db
MOLECULES = "Contrastive graph networks of molecules"
why = explain.explain_empty_digests


@pytest.fixture(autouse=True)
def _others():
    background_papers(20)


def planned(now=NOW, **fields):
    """Return a new subscriber whose first digest was planned and sent."""
    someone = make.subscriber(now=now, **fields)
    plan_and_send(now)
    return make.fresh(someone)


NO_MATCH = cases("why_nothing")["no_match"]


@pytest.mark.parametrize(("interests", "cause"), NO_MATCH.values(), ids=NO_MATCH)
def test_interests_without_any_match_are_named(interests, cause, settings):
    settings.RANKING = {"cut": 0.999}
    someone = planned(interests=interests)
    assert why(someone, NOW) == f"Nothing today: {cause}."
    assert why(someone, NOW + DAY) == f"Nothing since 1 June: {cause}."


def test_the_best_near_miss_is_named_with_its_line():
    make.paper(MOLECULES, ABSTRACT)
    someone = planned(interests="asdkjh\nmolecules of roads\ncooking of towns")
    cause = f"the best near miss was “{MOLECULES}” (for molecules of roads)"
    unknown = "no recent paper mentions asdkjh, roads, towns"
    assert why(someone, NOW) == f"Nothing today: {unknown}; {cause}."


def test_the_mutes_that_hide_all_matches_are_named():
    make.paper(MOLECULES, ABSTRACT)
    make.paper("Graph networks of molecules and roads", "Roads are built.")
    mutes = [make.topic(name) for name in ("Molecules", "Rice")]
    someone = planned(interests="graph networks", muted=mutes)
    assert why(someone, NOW) == "Nothing today: 2 matches, muted (Molecules)."


def test_matches_of_the_library_are_counted():
    paper = make.paper(MOLECULES, ABSTRACT)
    someone = make.subscriber(interests="graph networks")
    someone.library.create(identity=paper.pk, title=paper.title, at=NOW)
    plan_and_send()
    assert why(someone, NOW) == "Nothing today: 1 match, sent before, or in the library."


def test_matches_of_changed_interests_wait_or_are_too_old():
    make.paper(MOLECULES, ABSTRACT)
    someone = planned(interests="asdkjh")
    topic = someone.own_topics.create(name="graph networks", query="graph networks")
    someone.preferences.create(topic=topic)
    assert why(someone, NOW) == "Nothing today: 1 match, too old for the next digest."
    make.paper("Graph networks of roads", "Roads are built.")
    assert why(someone, NOW) == "Nothing today: 1 match, for the next digest."
    plan_and_send(NOW + DAY)
    assert why(someone, NOW + DAY) == ""


def test_only_papers_since_the_last_full_digest_count(client):
    make.paper(MOLECULES, ABSTRACT)
    someone = planned(interests="graph networks", size=1)
    assert why(someone, NOW) == ""
    assert "Nothing today" not in preferences_of(client, someone)
    plan_and_send(NOW + DAY)
    newest = "no new papers came in; the newest is of 1 June"
    assert why(someone, NOW + DAY) == f"Nothing since 1 June: {newest}."
    make.paper("Sour bread", day=TODAY + DAY)
    plan_and_send(NOW + 2 * DAY)
    assert (
        why(someone, NOW + 2 * DAY) == "Nothing since 1 June: no new paper matches graph networks."
    )


def test_unsent_digest_or_missing_papers_are_the_cause():
    someone = planned(interests="asdkjh")
    Letter.objects.update(state="failed", reason="refused: no such mailbox")
    assert why(someone, NOW) == "Nothing today: the digest of 1 June was not sent."
    Letter.objects.update(state="accepted")
    Paper.objects.all().delete()
    assert why(someone, NOW) == "Nothing today: no papers have come in yet."


def test_interests_of_a_groups_members_are_not_named():
    mailing_list = make.subscriber()
    lab = make.group(mailing_list=mailing_list)
    make.member(lab, "Ada", make.subscriber(interests="asdkjh"))
    plan_and_send()
    cause = "no new paper matches the interests of the group’s members (1)"
    assert why(mailing_list, NOW) == f"Nothing today: {cause}."


# ---- Where it is said


def welcome_to(someone):
    """Return both parts of the welcome email, each on one line."""
    letter = Letter.objects.select_related("subscriber").get(subscriber=someone, kind="welcome")
    content = make.composed(letter, NOW)
    return [" ".join(part.split()) for part in (content.text, content.html)]


def preferences_of(client, someone):
    return client.get(reverse("preferences", args=[token_of(someone)])).text


def test_all_pages_show_the_same_cause(client, panel):
    someone = make.subscriber(interests="asdkjh & qwpoeiru")
    plan.plan(NOW)
    sentence = why(someone, NOW)
    confirmed = client.get(tokens.answer_url(someone, "confirm", someone.asked_at)).text
    previews = panel.get(reverse("admin:subscriptions_subscriber_preview", args=[someone.pk])).text
    pages = [confirmed, preferences_of(client, someone), page(panel, someone).text, previews]
    for text in (*welcome_to(someone), *pages):
        assert sentence in text
    assert sentence == "Nothing today: no recent paper mentions asdkjh, qwpoeiru."


BLOCKED = {"suppressed_at": NOW, "suppressed_by": "operator"}
STOPPED = [
    ({"paused_until": TODAY + 9 * DAY}, "Paused until 10 Jun 2026."),
    ({"unsubscribed_at": NOW}, "Unsubscribed."),
    ({"suppressed_at": NOW, "suppressed_by": "bounced"}, "Blocked: bounced."),
    (BLOCKED | {"suppressed_reason": "Asked by phone."}, "Blocked: Asked by phone."),
    (BLOCKED, "Blocked: blocked by an operator."),
    ({"confirmed_at": None}, "Not confirmed yet."),
]


@pytest.mark.parametrize(("fields", "text"), STOPPED)
def test_inactive_state_replaces_the_cause(client, panel, fields, text):
    someone = planned(interests="asdkjh")
    Subscriber.objects.update(**fields)
    panel_text = page(panel, someone).text
    assert f">{text}</p>" in panel_text
    assert "Nothing today" not in panel_text + preferences_of(client, someone)
