"""Topics in the panel: what matches while one is written, who follows, and what was merged."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from digest.indexing import model_store
from digest.models import FittedModel
from digest.planning import slots
from subscriptions.models import Topic
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

TOPICS = reverse("admin:subscriptions_topic_changelist")
ADD = reverse("admin:subscriptions_topic_add")
MATCHES = reverse("admin:subscriptions_topic_matches")


def panel_of(*rights):
    """Return a client that is logged in as one with these rights, or all where none is named."""
    count = User.objects.count()
    user = User.objects.create(username=f"u{count}", is_staff=True, is_superuser=not rights)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def panel():
    return panel_of()


@pytest.fixture
def papers():
    """Papers of this week that a model is fitted on."""
    for n in range(3):
        make.paper(f"Sparse attention {n}", "Of attention.", categories=["cs.LG"])
    make.paper("Bread and butter", "Of bread.", categories=["cs.CL"])
    make.paper("Old bread", day=NOW.date() - timedelta(days=60))
    model_store.fit(NOW)


def change_page(topic):
    return reverse("admin:subscriptions_topic_change", args=[topic.pk])


# ---- What matches


def test_what_is_written_is_matched_and_nothing_is_saved(panel, papers):
    text = text_of(panel.post(MATCHES, {"query": "bread", "categories": ""}))
    assert "1 of the 4 papers of the last 7 days match" in text
    assert "Bread and butter" in text
    assert "Sparse" not in text
    assert not Topic.objects.exists()


def test_what_is_written_is_compared_with_what_is_saved(panel, papers):
    saved = make.topic("Sparse attention")
    sent = {"query": "bread", "categories": "", "topic": saved.pk}
    text = text_of(panel.post(MATCHES, sent))
    assert "+1 against what is saved Bread and butter" in text
    assert "−3 against what is saved Sparse attention" in text
    assert "against" not in text_of(panel.post(MATCHES, sent | {"query": saved.query}))


def test_categories_are_written_between_commas(panel, papers):
    text = text_of(panel.post(MATCHES, {"query": "", "categories": "cs.lg, cs.CL"}))
    assert "4 of the 4 papers" in text
    data = {"name": "All", "slug": "all", "query": "", "categories": "cs.lg, stat.ML, cs.LG"}
    panel.post(ADD, data)
    topic = Topic.objects.get()
    assert topic.categories == ["cs.LG", "stat.ML"]
    assert 'value="cs.LG, stat.ML"' in panel.get(change_page(topic)).content.decode()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"query": "x" * 2001}, "at most 2000 characters (it has 2001)"),
        ({"query": "bread", "categories": "cs.XX, foo"}, "no category called cs.XX, foo"),
        ({"query": " ", "categories": ","}, "Say what its papers are about"),
        ({"query": "zzyzx"}, "None of the 4 papers"),
        ({"query": "", "categories": "math.AG"}, "None of the 4 papers"),
        ({"query": "bread OR butter"}, "OR is not obeyed: commas part"),
        ({"query": "the of and"}, "There is nothing to look for in this query"),
        ({"query": "\0"}, "Null characters are not allowed."),
    ],
)
def test_what_can_not_be_looked_for_is_said_in_a_sentence(panel, papers, sent, said):
    assert said in text_of(panel.post(MATCHES, sent))


def test_when_many_look_at_once_the_curator_is_asked_to_wait(panel, papers, monkeypatch):
    monkeypatch.setattr(slots, "WAIT_SECONDS", 0.01)
    with slots.slot(), slots.slot():
        text = text_of(panel.post(MATCHES, {"query": "bread"}))
    assert text == "Many are looking in this moment. Please try again."


def test_without_a_model_none_is_fitted(panel):
    make.paper("Bread")
    assert "No model has been fitted yet" in text_of(panel.post(MATCHES, {"query": "bread"}))
    assert not FittedModel.objects.exists()


@pytest.mark.parametrize("is_new", [True, False])
def test_without_scripts_a_button_shows_the_same_and_saves_nothing(panel, papers, is_new):
    topic = make.topic("Sparse attention")
    data = {"name": "Bread", "slug": "b", "query": "bread", "categories": "", "_matches": ""}
    response = panel.post(ADD if is_new else change_page(topic), data)
    text = text_of(response)
    assert "1 of the 4 papers of the last 7 days match" in text
    assert ("against what is saved" in text) is not is_new
    assert response.context["adminform"].form["query"].value() == "bread"
    assert Topic.objects.get().query == "Sparse attention"


@pytest.mark.parametrize(
    ("rights", "may_add", "may_change"),
    [
        (["view_topic"], False, False),
        (["add_topic"], True, False),
        (["view_topic", "change_topic"], False, True),
    ],
)
def test_only_who_may_write_a_topic_tries_one(papers, rights, may_add, may_change):
    panel, topic = panel_of(*rights), make.topic("Sparse attention")
    for sent, may in (({}, may_add), ({"topic": topic.pk}, may_change)):
        response = panel.post(MATCHES, {"query": "bread"} | sent)
        assert response.status_code == (200 if may else 403)


def test_matches_are_asked_for_by_a_form_of_the_panel_alone(papers):
    assert Client().post(MATCHES, {"query": "bread"}).status_code == 302
    assert panel_of().get(MATCHES).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create(username="z", is_staff=True, is_superuser=True))
    assert strict.post(MATCHES, {"query": "bread"}).status_code == 403


# ---- What is saved


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"name": "BREAD"}, "Another topic that is offered has this name."),
        ({"query": "of the"}, "There is nothing to look for in this query"),
        ({"name": "Bread", "is_offered": ""}, ""),  # Nobody chooses it.
        ({"query": "of the", "is_offered": ""}, ""),
        ({"query": "of the", "categories": "cs.CL"}, ""),  # All papers of these.
        ({"name": "Sparse attention"}, ""),  # What it is called already.
    ],
)
def test_a_topic_that_is_of_no_use_to_readers_is_not_offered(panel, sent, said):
    make.topic("Bread")
    topic = make.topic("Sparse attention")
    data = {"name": "Rye", "slug": "rye", "query": "rye", "categories": "", "is_offered": "on"}
    response = panel.post(change_page(topic), data | sent)
    assert not said or said in text_of(response)
    topic.refresh_from_db()
    assert (topic.slug == "rye") is not bool(said)


# ---- Who follows


def test_a_topics_readers_are_listed_page_by_page_in_few_queries(
    panel, django_assert_max_num_queries
):
    topic = make.topic("Bread")
    for n in range(60):
        make.subscriber(f"r{n}@example.org", topics=[topic])
    mute = make.subscriber("mute@example.org", muted=[topic], unsubscribed_at=NOW)
    url = reverse("admin:subscriptions_topic_readers", args=[topic.pk])
    with django_assert_max_num_queries(8):
        text = text_of(panel.get(url))
    assert "61 follow or mute it" in text
    assert "r0@example.org active follow 1" in text
    assert "mute@" not in text
    last = panel.get(url, {"page": 2})
    assert "mute@example.org unsubscribed mute 1" in text_of(last)
    page = reverse("admin:subscriptions_subscriber_change", args=[mute.pk])
    assert page in last.content.decode()


def test_addresses_of_readers_are_shown_to_who_may_see_subscribers():
    topic = make.topic("Bread")
    reader = make.subscriber("reader@example.org", topics=[topic])
    url = reverse("admin:subscriptions_topic_readers", args=[topic.pk])
    text = text_of(panel_of("view_topic").get(url))
    assert f"No. {reader.pk} active follow 1" in text
    assert "reader@" not in text
    assert "reader@" in text_of(panel_of("view_topic", "view_subscriber").get(url))
    assert panel_of("view_paper").get(url).status_code == 403


def test_what_a_reader_wrote_is_shown_to_who_may_see_readers():
    make.subscriber("reader@example.org", interests="my own words")
    own = Topic.objects.get()
    for rights, is_shown in ((["view_topic"], False), (["view_topic", "view_subscriber"], True)):
        panel = panel_of(*rights)
        assert ("my own words" in text_of(panel.get(TOPICS, {"owner": "all"}))) is is_shown
        assert (panel.get(change_page(own)).status_code == 200) is is_shown
        url = reverse("admin:subscriptions_topic_readers", args=[own.pk])
        assert panel.get(url).status_code == (200 if is_shown else 404)


def test_what_was_merged_can_be_seen_and_not_changed(panel):
    old = make.topic("Old", merged_into=make.topic("Stays"))
    assert "Old Stays Old" in text_of(panel.get(TOPICS, {"owner": "merged"}))
    assert "Old" not in text_of(panel.get(TOPICS))
    assert "Stays" in text_of(panel.get(change_page(old)))
    assert panel.post(change_page(old), {"name": "x"}).status_code == 403
