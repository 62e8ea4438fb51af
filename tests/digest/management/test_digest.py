"""One reader's digest, shown in the terminal or as a message."""

import email.policy
from email.parser import BytesParser

import pytest
from django.core.management import CommandError, call_command

from digest.models import Digest
from tests.factories import make
from tests.factories.make import NOW


@pytest.mark.django_db
def test_digest_shows_scores_and_reasons_and_sends_nothing(outbox, capsys, tmp_path):
    make.paper("Graph [bold]networks[/bold]")
    make.subscriber("reader@example.org", interests="graph networks")
    target = tmp_path / "digest.eml"

    call_command("digest", "Reader@Example.org", output=target)

    out = capsys.readouterr().out
    assert "1. Graph [bold]networks[/bold]" in out
    assert "weighed most: graph, networks" in out
    message = BytesParser(policy=email.policy.default).parsebytes(target.read_bytes())
    assert message["To"] == "reader@example.org"
    assert outbox() == []
    assert not Digest.objects.exists()


@pytest.mark.django_db
def test_digest_of_a_day_that_was_planned_shows_what_was_planned(capsys):
    make.paper("Graphs")
    make.subscriber("reader@example.org", interests="graphs")
    call_command("tick", now=NOW)
    call_command("digest", "reader@example.org")
    assert "its letter: sent" in capsys.readouterr().out


@pytest.mark.django_db
def test_digest_for_an_unknown_address_says_so():
    with pytest.raises(CommandError, match="no subscriber with this address"):
        call_command("digest", "nobody@example.org")


@pytest.mark.django_db
@pytest.mark.parametrize("file", ["", "no/such/folder/letter.eml"])
def test_digest_says_where_it_cannot_write(file, tmp_path):
    make.subscriber("you@example.org")
    with pytest.raises(CommandError, match="can't be written"):
        call_command("digest", "you@example.org", output=tmp_path / file)
