"""Every kind of email has rules, a composer, templates and an example."""

import pytest
from django.template.loader import get_template

from subscriptions import hooks
from subscriptions.mail.kinds import KINDS, Kind
from subscriptions.models.subscribers import STATES, Subscriber
from tests.factories import emails

PARTS = {"subject.txt": "text", "body.txt": "text", "body.html": "html"}
EXAMPLES = [*emails.NOTICES.values(), *emails.DIGESTS.values()]


@pytest.mark.parametrize("kind", Kind)
def test_kind_has_rules_composer_example_and_templates(kind):
    rules = KINDS[kind]
    assert rules.states
    assert set(rules.states) <= set(STATES)
    assert not rules.condition or hasattr(Subscriber, rules.condition)
    assert kind in hooks.composers
    assert kind in [example[0] for example in EXAMPLES]
    for part, engine in PARTS.items():
        if (kind, part) != ("digest", "subject.txt"):  # Its subject names papers.
            get_template(f"email/{kind}/{part}", using=engine)


def test_no_composer_is_for_an_unknown_kind():
    assert set(hooks.composers) <= set(Kind)
