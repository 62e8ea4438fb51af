"""Bounces that come in by mail: through a pipe from the mail server, and from a mailbox."""

import io
import mailbox
import os
import sys
from collections import Counter
from contextlib import closing, contextmanager, nullcontext
from types import SimpleNamespace
from unittest.mock import Mock
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DataError, OperationalError, connection

from digest import tasks
from digest.operations import health
from subscriptions.bounces import inbound, mailboxes, process
from subscriptions.models import LetterFact
from tests.factories.make import NOW
from tests.factories.returned_mail import address_of, answer, report
from tests.helpers import data_files
from tests.helpers.checks import result
from tests.servers.imap import ImapServer

pytestmark = pytest.mark.django_db
DATA = data_files.load("mailboxes.toml")


def pipe(monkeypatch, mime, *args):
    """Hand a message to the command as a mail server does. Return with what it exits."""
    stdin = io.BytesIO(mime)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    try:
        call_command("inbound", *args, stdout=io.StringIO())
    except CommandError as error:
        return error.returncode
    assert stdin.read() == b""
    return 0


# ---- The pipe


@pytest.mark.parametrize("is_alias", [False, True])
def test_pipe_takes_recipient_from_option_or_environment(monkeypatch, letter, is_alias):
    options = ["--recipient", address_of(letter)] * (not is_alias)
    monkeypatch.setenv("ORIGINAL_RECIPIENT", address_of(letter) * is_alias)
    assert pipe(monkeypatch, report("postmaster@paperboy.example"), *options) == 0
    letter.subscriber.refresh_from_db()
    assert letter.subscriber.suppressed_by == "bounced"


def test_unreadable_message_is_not_retried(monkeypatch):
    for mime in (b"", b"\xff" * 3_000_000, answer("digest@paperboy.example")):
        assert pipe(monkeypatch, mime) == 0


@contextmanager
def without_facts():
    """Let the database refuse to write down what came back, until it is mended."""
    table = LetterFact._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
        yield
        cursor.execute(f"ALTER TABLE away RENAME TO {table}")


def test_message_stays_at_the_mail_server_until_recorded(monkeypatch, letter, data_dir, settings):
    """75: EX_TEMPFAIL of sysexits.h, which mail servers understand."""
    mime = report(address_of(letter))

    with monkeypatch.context() as patch:
        patch.setattr(inbound, "receive", Mock(side_effect=OSError(28, "No space left")))
        assert pipe(monkeypatch, mime) == 75
    with monkeypatch.context() as patch:
        settings.IS_PUBLIC = True
        patch.setattr(health, "reasons_not_ready", lambda **how: ["2 migrations wait."])
        assert pipe(monkeypatch, mime) == 75
    settings.IS_PUBLIC = False
    assert pipe(monkeypatch, b"", "--mailbox") == 75  # There is none.
    with without_facts():
        assert pipe(monkeypatch, mime) == 75
    assert not (data_dir / "returned").exists()
    assert pipe(monkeypatch, mime) == 0
    assert letter.facts.count() == 1


def test_message_that_the_database_rejects_is_set_aside(monkeypatch, letter, data_dir):
    monkeypatch.setattr(process, "record", Mock(side_effect=DataError("too long")))
    assert pipe(monkeypatch, report(address_of(letter))) == 0
    assert len(list((data_dir / "returned").iterdir())) == 1


# ---- Mailboxes


class OfFiles:
    """A mailbox of files: its format, its path, and that of the useless messages beside it."""

    def __init__(self, format_, path, useless):
        self.format, self.path, self.useless_path = format_, path, useless
        self.url = f"{format_.__name__.lower()}:{path}"
        self.put()

    def put(self, *messages):
        with closing(self.format(self.path)) as box:
            for mime in messages:
                box.add(mime)

    def left(self):
        return self.messages_in(self.path)

    def useless(self):
        return self.messages_in(self.useless_path)

    def messages_in(self, path):
        with closing(self.format(path)) as box:
            return [box.get_bytes(key) for key in box.iterkeys()]


def maildir(folder):
    path = folder / "Maildir"
    return OfFiles(mailbox.Maildir, path, path / ".Useless")


def mbox(folder):
    path = folder / "bounces"
    return OfFiles(mailbox.mbox, path, folder / "bounces.useless")


class OfImap:
    def __init__(self, folder):
        self.server = ImapServer()
        self.url = url_of(self.server)

    def put(self, *messages):
        self.server.folders["INBOX"] |= dict(enumerate(messages, start=7))

    def left(self):
        return list(self.server.folders["INBOX"].values())

    def useless(self):
        return list(self.server.folders["Useless"].values())


@pytest.fixture(params=[maildir, mbox, OfImap])
def box(request, tmp_path, settings):
    made = request.param(tmp_path)
    settings.BOUNCE_MAILBOX = made.url
    yield made
    if isinstance(made, OfImap):
        made.server.close()


def empty(box):
    return mailboxes.empty(mailboxes.mailbox_for(box.url), NOW)


def test_mailbox_is_emptied_without_losing_human_replies(box, letter):
    box.put(report(address_of(letter)), answer("digest@paperboy.example"))
    tasks.read_bounces()
    assert letter.facts.count() == 1
    assert box.left() == []
    (kept,) = box.useless()
    assert b"I am away." in kept
    assert empty(box) == Counter()


def test_message_stays_until_its_facts_are_committed(box, letter, monkeypatch):
    """None is read within a transaction: on SQLite, one that lasts makes everybody wait."""
    box.put(report(address_of(letter), name="first"), report(address_of(letter), name="second"))
    real, depths, depth = inbound.receive, [], len(connection.savepoint_ids)

    def away_at_the_second(*args):
        depths.append(len(connection.savepoint_ids))
        if len(depths) == 2:
            raise OperationalError("away")
        return real(*args)

    monkeypatch.setattr(inbound, "receive", away_at_the_second)
    with pytest.raises(OperationalError):
        empty(box)
    assert letter.facts.count() == 1
    assert empty(box) == Counter(recorded=1)
    assert letter.facts.count() == 2
    assert box.left() == []
    assert depths == [depth] * 3


def test_unreachable_mailbox_is_logged_without_its_password(settings, caplog):
    settings.BOUNCE_MAILBOX = ""
    tasks.read_bounces()
    assert not caplog.records
    settings.BOUNCE_MAILBOX = "imap://somebody:sesame@127.0.0.1:1/INBOX"
    tasks.read_bounces()
    assert "127.0.0.1" in caplog.text
    assert "sesame" not in caplog.text


@pytest.fixture
def imap():
    with ImapServer() as server:
        yield server


def url_of(server):
    user, password = (quote(word, safe="") for word in server.account)
    return f"imap://{user}:{password}@127.0.0.1:{server.port}/INBOX"


@pytest.mark.parametrize(("account", "offers_plain", "is_ours", "trouble"), DATA["accounts"])
def test_imap_login_works_with_any_accepted_account(imap, account, offers_plain, is_ours, trouble):
    imap.account, imap.offers_plain = tuple(account), offers_plain
    box = mailboxes.mailbox_for(url_of(imap))
    if not is_ours:
        imap.account = "another", "account"
    error = pytest.raises(mailboxes.MailboxError, match=trouble) if trouble else nullcontext()
    with error as refused:
        assert mailboxes.empty(box, NOW) == {}
    assert "esame" not in str(refused and refused.value) + repr(box)


def test_maildir_is_read_in_new_and_cur(tmp_path, letter):
    box = maildir(tmp_path)
    box.put(report(address_of(letter)))
    (file,) = (box.path / "new").iterdir()
    os.replace(file, box.path / "cur" / f"{file.name}:2,S")  # Somebody has read it.
    assert empty(box) == Counter(recorded=1)


def test_unreadable_mailbox_is_named_with_the_reason(settings):
    settings.BOUNCE_MAILBOX = "maildir:/no/such"
    with pytest.raises(CommandError, match="Not recorded: /no/such: No such file or directory"):
        call_command("inbound", "--mailbox")


def test_locked_mbox_is_left_for_later(tmp_path):
    box = mbox(tmp_path)
    with closing(mailbox.mbox(box.path)) as other:
        other.lock()
        with pytest.raises(mailboxes.MailboxError):
            empty(box)


def test_invalid_mailbox_url_is_refused():
    for url in DATA["invalid_urls"]:
        with pytest.raises(ImproperlyConfigured) as error:
            mailboxes.mailbox_for(url)
        assert "password@" not in str(error.value).replace("user:password@", "")


# ---- The doctor


def test_doctor_reports_how_bounces_are_read(settings, letter, tmp_path, data_dir):
    assert result("bounces")[0] == "ok"  # In the outbox, nothing comes back.
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    grade, said = result("bounces")
    assert grade == "note"
    assert "pipe this address into `manage.py inbound`, or set BOUNCE_MAILBOX" in said
    inbound.receive(report(address_of(letter)), NOW)
    assert result("bounces")[0] == "ok"
    settings.BOUNCE_MAILBOX = f"maildir:{tmp_path}/none"
    grade, said = result("bounces")
    assert grade == "wrong"
    assert said.startswith(f"cannot read BOUNCE_MAILBOX: {tmp_path}/none: No such file")
    (tmp_path / "none" / "new").mkdir(parents=True)
    assert result("bounces")[0] == "ok"
    (data_dir / "returned").mkdir()
    (data_dir / "returned" / "x.eml").touch()
    assert "1 unreadable message: see" in result("bounces")[1]
