"""The last days ranked again with other settings: what it says, and that it writes nothing."""

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from digest import archive, editions, home_page, replay, steering
from digest.admin import replays
from digest.models import Paper, Pick
from digest.ranking.tuning import Tuning
from subscriptions.models import Letter
from tests import make
from tests.make import NOW
from tests.pages import text_of

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:digest_fittedmodel_replay")
NOW_SET = {"floor": 0.15, "latent": 0.5, "expansion": 0.5, "further": 0.3, "learned": 1.5}
NOW_SET |= {"trend": 0.15, "duplicate": 0.7, "readers": 20}


@pytest.fixture
def reader():
    """A reader of bread, about which two papers are, and with a higher floor the first alone."""
    make.paper("Sour bread and rye bread", "Bread, bread and bread.")
    make.paper("Baking in ovens", "Ovens bake many things, and bread is one of them. " * 3)
    for n in range(6):
        make.paper(f"Graph networks {n}", "Of graphs and their nodes.")
    archive.renew(NOW)
    return make.subscriber(interests="bread")


def client_of(*rights):
    user = User.objects.create(username="you", is_staff=True, is_superuser=not rights)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client = Client()
    client.force_login(user)
    return client


def total(then, days=2):
    issues = editions.issues_until(NOW.date(), days - 1)
    found = list(replay.replay(Tuning(), then, issues, replay.some_readers(10)))
    return found, replay.summed(found)


def test_the_same_settings_change_nothing(reader):
    days, same = total(Tuning())
    assert [day.day for day in days] == sorted(day.day for day in days)
    assert (same.digests, same.changed, same.kept) == (2, 0, 1.0)
    assert same.picks_now == same.picks_then == 2


def test_what_a_higher_floor_takes_away_is_counted(reader):
    _, differs = total(Tuning(floor=0.5))
    assert (differs.changed, differs.picks_now, differs.picks_then) == (1, 2, 1)
    assert differs.kept == 0.5
    assert replay.titles(differs.removed, 5) == [("Baking in ovens", 1)]
    _, empty = total(Tuning(floor=10))
    assert (empty.had_now, empty.had_then) == (0.5, 0.0)
    assert (empty.papers_now, empty.papers_then) == (2, 0)


def test_quality_is_that_of_papers_that_readers_liked_by_their_topics_alone(reader):
    issue = editions.window(NOW.date(), 7)
    graphs, bread = (
        Paper.objects.get(title__startswith=word) for word in ("Graph networks 0", "Sour")
    )
    assert replay.judges(issue, 5) == {}
    steering.say(reader, graphs, "less", NOW)
    assert replay.judges(issue, 5) == {}
    steering.say(reader, graphs, "save", NOW)
    steering.learn(NOW)
    assert replay.judges(issue, 5) == {reader: {graphs.pk}}
    off_her_topic = replay.judged(issue, {reader: {graphs.pk}}, Tuning())
    on_her_topic = replay.judged(issue, {reader: {bread.pk}}, Tuning())
    assert on_her_topic.ndcg_at_10 == 1.0
    assert off_her_topic.ndcg_at_10 < 0.7


# ---- The page


def test_the_page_says_what_would_change_and_writes_nothing(reader):
    panel = client_of("view_fittedmodel")
    assert "Rank again" in text_of(panel.get(PAGE))
    text = text_of(panel.post(PAGE, NOW_SET | {"floor": 0.5}))
    assert "1 of 8 digests" in text
    assert "Would go most often 1× Baking in ovens" in text
    assert "RANKING=floor=0.5" in text
    assert "No figures of quality" in text
    assert "reader-" not in text
    assert not Pick.objects.exists()
    assert not Letter.objects.exists()


def test_the_page_measures_where_readers_said_what_they_like(reader):
    steering.say(reader, Paper.objects.first(), "more", NOW)
    text = text_of(client_of().post(PAGE, NOW_SET | {"latent": 0}))
    assert "nDCG@10 of what readers liked" in text
    assert "papers that 1 reader liked" in text


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "These are the present settings."),
        ({"floor": "x"}, "Enter a number."),
        ({"floor": "nan"}, "Enter a number."),
        ({"floor": -1}, "greater than or equal to 0"),
        ({"trend": 11}, "less than or equal to 10"),
        ({"readers": 100_000}, "Select a valid choice."),
    ],
)
def test_what_can_not_be_tried_is_said(reader, sent, said):
    assert said in text_of(client_of().post(PAGE, NOW_SET | sent))


def test_the_settings_of_the_installation_are_those_to_begin_with(reader, settings):
    settings.RANKING = {"floor": 0.3}
    panel = client_of()
    assert panel.get(PAGE).context["form"]["floor"].value() == 0.3
    text = text_of(panel.post(PAGE, NOW_SET | {"floor": 0.3, "trend": 0.5}))
    assert "RANKING=floor=0.3,trend=0.5" in text


def test_the_page_waits_its_turn_and_fits_no_model(monkeypatch):
    monkeypatch.setattr(home_page, "PATIENCE", 0.01)
    panel, sent = client_of(), NOW_SET | {"floor": 0.5}
    assert "No model has been fitted yet." in text_of(panel.post(PAGE, sent))
    with home_page.turn(), home_page.turn():
        assert "Please try again." in text_of(panel.post(PAGE, sent))


def test_the_page_tells_what_it_ranked_until_its_time_was_over(reader, monkeypatch):
    monkeypatch.setattr(replays, "SECONDS", -1)
    text = text_of(client_of().post(PAGE, NOW_SET | {"floor": 0.5}))
    assert "0 of 1 digests , of the earlier days alone" in text


def test_only_who_may_see_models_ranks_again(reader):
    panel = client_of("view_paper")
    assert panel.get(PAGE).status_code == 403
    assert panel.post(PAGE, NOW_SET | {"floor": 0.5}).status_code == 403


# ---- From a shell


def test_the_command_says_the_same(reader, capsys):
    call_command("replay", "floor=0.5", days=2)
    said = capsys.readouterr().out
    assert "1 of 2 digests would change; 50.0% of the papers in them stay." in said
    assert "would go 1×: Baking in ovens" in said
    assert "RANKING=floor=0.5" in said


@pytest.mark.parametrize("change", ["floor", "floor=x", "roof=1", "floor=11"])
def test_the_command_refuses_what_is_no_setting(change):
    with pytest.raises(CommandError):
        call_command("replay", change)
