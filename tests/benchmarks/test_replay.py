"""The benchmark that ranks past days again with another cut."""

import pytest

from digest.indexing import index_store
from tests.benchmarks import replay
from tests.factories import make
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db

CUTS = [
    ("0.42", "0 of 2 digests would change; 100.0%", "50.0% now, 50.0% then", "2 now, 2 then"),
    ("0.95", "1 of 2 digests would change; 50.0%", "50.0% now, 50.0% then", "2 now, 1 then"),
    ("0.999", "1 of 2 digests would change; 0.0%", "50.0% now, 0.0% then", "2 now, 0 then"),
]


@pytest.mark.parametrize(("cut", "changed", "filled", "different"), CUTS)
def test_digests_are_compared_with_those_of_another_cut(capsys, cut, changed, filled, different):
    text = "Bread, bread and bread. We bake loaves from sour dough, and loaves of rye."
    make.paper("Sour bread and rye bread", text)
    text = "Ovens bake many things, and bread is one of them: bread of wheat."
    make.paper("Baking in ovens", text)
    for number in range(16):
        make.paper(f"Graph networks {number}", "Of graphs and their nodes.")
    index_store.renew(NOW)
    make.subscriber(interests="bread")
    replay.main([f"cut={cut}", "--days", "2"])
    output = capsys.readouterr().out
    assert f"{changed} of their papers stay.\n" in output
    assert f"Digests with papers: {filled}; different papers: {different}." in output
    assert ("removed 1×: Baking in ovens" in output) == (cut != "0.42")
    assert f"RANKING=cut={cut}\n" in output
