"""The last days ranked again with other settings: what it says, and that it writes nothing."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from digest.indexing import candidates, index_store, model_store
from digest.planning import replay
from digest.ranking.parameters import Parameters
from tests.factories import make
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader():
    """A reader of bread, about which two papers are, and with a higher cut the first alone."""
    make.paper("Sour bread and rye bread", "Bread, bread and bread.")
    make.paper("Baking in ovens", "Ovens bake many things, and bread is one of them. " * 3)
    for n in range(6):
        make.paper(f"Graph networks {n}", "Of graphs and their nodes.")
    index_store.renew(NOW)
    return make.subscriber(interests="bread")


def total(then, days=2):
    model = model_store.in_use()
    each = [NOW.date() - timedelta(days=back) for back in reversed(range(days))]
    windows = (candidates.announced(model, day) for day in each)
    found = list(replay.replay(Parameters(), then, windows, replay.sample_subscribers(10)))
    return found, replay.total_of(found)


def test_the_same_settings_change_nothing(reader):
    days, same = total(Parameters())
    assert [day.day for day in days] == sorted(day.day for day in days)
    assert (same.digests, same.changed, same.kept) == (2, 0, 1.0)
    assert same.picks_now == same.picks_then == 2


def test_what_a_higher_cut_takes_away_is_counted(reader):
    _, differs = total(Parameters(cut=4.7))
    assert (differs.changed, differs.picks_now, differs.picks_then) == (1, 2, 1)
    assert differs.kept == 0.5
    assert replay.titles(differs.removed, 5) == [("Baking in ovens", 1)]
    _, empty = total(Parameters(cut=10))
    assert (empty.had_now, empty.had_then) == (0.5, 0.0)
    assert (empty.papers_now, empty.papers_then) == (2, 0)


# ---- From a shell


def test_the_command_says_the_same(reader, capsys):
    call_command("replay", "cut=4.7", days=2)
    said = capsys.readouterr().out
    assert "1 of 2 digests would change; 50.0% of the papers in them stay." in said
    assert "would go 1×: Baking in ovens" in said
    assert "RANKING=cut=4.7" in said


@pytest.mark.parametrize("change", ["cut", "cut=x", "roof=1", "cut=11"])
def test_the_command_refuses_what_is_no_setting(change):
    with pytest.raises(CommandError):
        call_command("replay", change)
