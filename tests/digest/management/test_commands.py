"""Commands that cannot do what they are asked, and the doctor: each says why in a sentence."""

import re

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InternalError, OperationalError, connection

from digest.management.commands import sending
from subscriptions.models import Letter
from tests.config.environment import manage


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["serve", "--port", "99999"], "no port"),
        (["demo", "--port", "0"], "no port"),
        (["doctor", "--send-to", "nobody"], "doesn’t look like an email address"),
        (["import_papers", "some.jsonl", "--shift-to", "0001-01-01"], "from 1900 to 2999"),
        (["digest", "you@example.org", "--date", "9999-12-31"], "from 1900 to 2999"),
        (["tick", "--now", "0001-01-01T00:00Z"], "from 1900 to 2999"),
    ],
)
def test_an_argument_that_can_be_none_is_refused_with_a_sentence(arguments, answer):
    with pytest.raises(CommandError, match=answer):
        call_command(*arguments)


@pytest.mark.django_db
def test_the_doctor_says_what_to_do_and_is_content_after_the_demo(capsys):
    with pytest.raises(CommandError, match="1 thing needs doing"):
        call_command("doctor")
    assert "`manage.py harvest` fetches the first" in capsys.readouterr().out
    call_command("demo", no_serve=True)
    call_command("doctor", check_promises=True)
    assert "✗" not in capsys.readouterr().out


def refuse_all(*args):
    raise OperationalError('connection to server failed:\n\tdatabase "papers" does not exist')


@pytest.mark.django_db
def test_the_doctor_says_why_the_database_is_away_and_asks_it_for_no_promises(capsys):
    with (
        connection.execute_wrapper(refuse_all),
        pytest.raises(CommandError, match="1 thing needs doing"),
    ):
        call_command("doctor", check_promises=True)
    assert 'failed: database "papers" does not exist).' in capsys.readouterr().out


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["sending", "upgrade"])
def test_a_command_says_why_the_database_is_away(settings, command):
    settings.IS_PUBLIC = True
    with (
        connection.execute_wrapper(refuse_all),
        pytest.raises(CommandError, match=r'does not answer.*database "papers" does not exist'),
    ):
        call_command(command)


@pytest.mark.django_db
def test_the_doctor_tells_when_a_promise_is_broken(capsys):
    call_command("demo", no_serve=True)
    Letter.objects.filter(kind="digest").update(repeats=2)
    number = Letter.objects.get(kind="digest").pk
    with pytest.raises(CommandError):
        call_command("doctor", check_promises=True)
    said = f"✗ at most one repeat of a letter: broken by 1 row (letter {number})"
    assert said in capsys.readouterr().out


@pytest.mark.django_db
def test_the_doctor_tells_when_the_mail_server_does_not_answer(settings, capsys):
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    with pytest.raises(CommandError):
        call_command("doctor", send_to="you@example.org")
    out = capsys.readouterr().out
    assert "✗ mail server:  127.0.0.1:1: ConnectionRefusedError" in out
    assert "✗ test letter:  deferred at connect" in out


@pytest.mark.django_db
def test_a_test_letter_shows_whether_the_mail_server_signs_what_unsubscribes(data_dir):
    with pytest.raises(CommandError):  # There are no papers, for one.
        call_command("doctor", send_to="you@example.org")
    (file,) = (data_dir / "outbox").glob("test-*.eml")
    assert b"\r\nList-Unsubscribe: <" in file.read_bytes()
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in file.read_bytes()


@pytest.mark.parametrize("command", ["doctor", "tick", "upgrade"])
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda file: file.mkdir(), "unable to open database file"),
        (
            lambda file: file.write_bytes(b"\xff" * 8192),
            r"The database is damaged \(file is not a database\).+docs/maintenance\.md",
        ),
    ],
    ids=["not to be opened", "damaged"],
)
def test_a_database_that_no_command_can_use_is_told_in_a_sentence(
    tmp_path, command, spoil, sentence
):
    spoil(tmp_path / "paperboy.sqlite3")
    run = manage(command, DATA_DIR=str(tmp_path))
    assert run.returncode == 1
    assert re.search(sentence, run.stdout + run.stderr)
    assert "Traceback" not in run.stderr


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DatabaseError("database disk image is malformed"), r"is damaged .+ docs/maintenance\.md"),
        (OperationalError("server closed the connection"), r"does not answer \(server closed"),
        (
            OperationalError("attempt to write a readonly database"),
            r"can't be written \(attempt .+ let the user that runs Paperboy own",
        ),
        (
            InternalError("cannot execute UPDATE"),
            r"takes no writes \(cannot .+ docs/maintenance\.md",
        ),
    ],
)
def test_a_database_that_fails_amid_a_command_is_told_in_a_sentence(monkeypatch, error, sentence):
    def break_down(*args, **options):
        raise error

    monkeypatch.setattr(sending.Command, "handle", break_down)
    with pytest.raises(CommandError, match=f"The database {sentence}"):
        call_command("sending")
