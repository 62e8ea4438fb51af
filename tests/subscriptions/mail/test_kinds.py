"""Every kind of email has rules, a composer, templates and an example."""

import pytest
from django.template.loader import get_template

from subscriptions import hooks
from subscriptions.mail.kinds import KINDS, Kind
from subscriptions.models.subscribers import STATES, Subscriber
from tests.factories import emails

PARTS = {"subject.txt": "text", "body.txt": "text", "body.html": "html"}


@pytest.mark.parametrize("kind", Kind)
def test_kind_has_rules_of_states_and_predicates(kind):
    assert set(KINDS[kind].states) <= set(STATES)
    assert KINDS[kind].states
    assert not KINDS[kind].condition or hasattr(Subscriber, KINDS[kind].condition)


@pytest.mark.parametrize("kind", Kind)
def test_kind_has_a_composer(kind):
    assert kind in hooks.composers


@pytest.mark.parametrize("kind", Kind)
def test_kind_has_an_example(kind):
    examples = [*emails.NOTICES.values(), *emails.DIGESTS.values()]
    assert kind in [example[0] for example in examples]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("part", PARTS)
def test_kind_has_its_templates(kind, part):
    if (kind, part) != ("digest", "subject.txt"):  # Its subject names papers: digest/wording.py.
        get_template(f"email/{kind}/{part}", using=PARTS[part])


def test_no_composer_is_for_an_unknown_kind():
    assert set(hooks.composers) <= set(Kind)
