"""Papers on the same idea become one entry of a digest, and are listed in it."""

import re

import lxml.html
import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

from digest.models import Digest, Paper, Pick
from digest.planning import plan
from tests.factories import make
from tests.factories.explanations import ABSTRACT, background_papers
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.planning import plan_and_send
from tests.helpers.invariants import broken
from tests.helpers.pages import web_copy_of

pytestmark = pytest.mark.django_db

LEADER = "Contrastive graph networks of molecules"
RELATIVE = "Contrastive graph networks for molecules, <b>revisited</b>"
ON_ONE_IDEA = "And 1 on the same idea: "


@pytest.fixture
def alike():
    """Two papers whose long abstracts are nearly alike, the more popular first."""
    background_papers()
    return [
        make.paper(LEADER, ABSTRACT, upvotes=9),
        make.paper(RELATIVE, ABSTRACT.replace("eleven", "nine")),
    ]


@pytest.fixture
def others():
    """Two more papers for the same subscriber, on ideas of their own."""
    return [make.paper("Graph networks of roads"), make.paper("Graph networks of cars")]


def subscriber(**fields):
    return make.subscriber("you@example.org", interests="graph networks", **fields)


def planned():
    someone = subscriber()
    plan.plan(NOW)
    return someone


def words(html):
    return " ".join(lxml.html.fromstring(html).text_content().split())


def test_relative_is_stored_without_position(alike):
    leader, relative = alike
    planned()
    first, second = Pick.objects.order_by("pk")
    assert (first.paper, first.position, first.leader) == (leader, 1, None)
    assert (second.paper, second.position, second.leader) == (relative, None, first)
    for pick, changes in ((second, {"position": 7}), (first, {"position": None})):
        with pytest.raises(IntegrityError), transaction.atomic():
            Pick.objects.filter(pk=pick.pk).update(**changes)


def test_letter_and_web_copy_show_relative_below_leader(client, alike, others, outbox):
    leader, relative = alike
    subscriber(size=3)  # Of which it takes no place.
    call_command("tick")
    (letter,) = outbox()
    html = letter.get_body(["html"]).get_content()
    web_copy = client.get(web_copy_of(Digest.objects.get())).text
    for page, link in ((html, relative.link), (web_copy, relative.get_absolute_url())):
        tree = lxml.html.fromstring(page)
        assert len(tree.cssselect("[data-paper-id]")) == 3
        (block,) = tree.cssselect(f'[data-paper-id="{leader.pk}"]')
        assert f"{ON_ONE_IDEA}{RELATIVE}" in " ".join(block.text_content().split())
        assert block.cssselect(f'a[href="{link}"]')
    text = letter.get_body(["plain"]).get_content().replace("\r\n", "\n")
    entry = text.partition(f"{LEADER}\n")[2]
    assert re.search(rf"And 1 on the same idea:\n +{RELATIVE}\n +{relative.link}\n", entry)
    assert re.findall(r"^\s*(\d+)\.\s", text, re.MULTILINE) == ["1", "2", "3"]
    assert broken(NOW) == {}


def test_relative_comes_alone_after_sent_leader(alike):
    relative = alike[1]
    early = subscriber()
    plan_and_send(NOW)
    Pick.objects.filter(paper=relative).delete()
    Paper.objects.filter(pk=relative.pk).update(came_in_at=None)  # It came in late.
    fresh = make.subscriber(interests="graph networks", next_due_at=NOW + DAY)
    plan.plan(NOW + DAY)
    (again,) = Pick.objects.filter(subscriber=early, digest__day=TODAY + DAY)
    assert (again.paper, again.position) == (relative, 1)
    assert Pick.objects.filter(subscriber=fresh).count() == 2
