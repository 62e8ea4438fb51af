"""`manage.py once`: one person's file, at most one email a day, and what a lost database costs."""

import json
import os
import re
import subprocess
import sys

import lxml.html
import pytest
from django.core.management import CommandError, call_command

from digest.management import once_file
from digest.management.commands import once
from digest.models import Feedback, LibraryPaper, Paper, ZoteroLibrary
from digest.papers import harvest, registry
from digest.personalization import zotero
from digest.sources.arxiv.source import ArXiv
from subscriptions.actions import signup
from subscriptions.models import Letter, Subscriber
from tests.config.environment import ROOT
from tests.factories import make
from tests.factories.announcements import listed
from tests.factories.harvests import serving
from tests.factories.make import DAY, HOUR, NOW, TODAY, YESTERDAY
from tests.factories.themes import MOLECULES, others, theme
from tests.helpers import services
from tests.helpers.data_files import DATA
from tests.helpers.local_web import web_of
from tests.servers.arxiv import ArxivServer
from tests.servers.zotero import PATH, ZoteroServer

pytestmark = pytest.mark.django_db

INTERESTS = "graph neural networks for molecules"
GOOD = {"to": "me@example.org", "interests": INTERESTS, "categories": ["cs.LG", "q-bio.NC"]}
CHANGED = "SITE_URL INTERESTS_FILE DEFAULT_FROM_EMAIL MAIL_DOMAIN RECIPIENT_DELIMITER"
zotero_server = serving(ZoteroServer)


@pytest.fixture(autouse=True)
def restored_settings(settings):
    """Restore what the command sets."""
    settings.IS_PUBLIC, settings.HAS_SENDER = False, False
    for name in (*CHANGED.split(), "LOOK_UPS", "ARXIV_CATEGORIES"):
        setattr(settings, name, getattr(settings, name))


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a person's file, and files of papers of two days."""
    folder = tmp_path / "person"
    folder.mkdir()
    write(folder)
    theme(MOLECULES, 0, 3, day=TODAY, categories=["cs.LG"])
    others(day=YESTERDAY)
    dump(folder / "monday.jsonl")
    theme(MOLECULES, 6, 2, day=TODAY + DAY, categories=["cs.LG"])
    dump(folder / "tuesday.jsonl")
    return folder


def write(folder, **fields):
    (folder / "paperboy.yaml").write_text(json.dumps(GOOD | fields))  # JSON is YAML.


def dump(path):
    """Move the papers from the database to a file."""
    rows = Paper.objects.values("id", "title", "abstract", "day", "categories")
    lines = [json.dumps(row | {"date": str(row.pop("day"))}) for row in rows]
    path.write_text("\n".join(lines))
    Paper.objects.all().delete()


def run(folder, now=NOW, papers=("monday",)):
    files = [folder / f"{name}.jsonl" for name in papers]
    call_command("once", str(folder / "paperboy.yaml"), papers=files, now=now)


def lose_database():
    Subscriber.objects.all().delete()
    Paper.objects.all().delete()


def sent_papers(emails):
    """Return the ids in the HTML parts, one list for each email."""
    pages = [lxml.html.fromstring(mail.get_body(("html",)).get_content()) for mail in emails]
    return [page.xpath("//@data-paper-id") for page in pages]


# ---- Emails


def test_each_day_with_new_papers_brings_one_email(folder, outbox, capsys):
    run(folder)
    run(folder, NOW + DAY, ["monday", "tuesday"])
    run(folder, NOW + 2 * DAY, ["monday", "tuesday"])
    assert [len(ids) for ids in sent_papers(outbox())] == [3, 2]
    assert "No email: of 0 new papers, none matches." in capsys.readouterr().out


def test_second_run_of_a_day_sends_nothing(folder, outbox, capsys):
    run(folder)
    run(folder, NOW + HOUR, ["monday", "tuesday"])
    assert len(outbox()) == 1
    assert f"The email of {TODAY} was sent before." in capsys.readouterr().out


def test_empty_day_can_be_tried_again(folder, outbox):
    write(folder, interests="medieval charters")
    run(folder)
    assert outbox() == []
    write(folder)
    run(folder, NOW + HOUR)
    assert len(outbox()) == 1


def test_email_has_no_link_to_a_site(folder, outbox):
    run(folder)
    (mail,) = outbox()
    html, text = (mail.get_body((kind,)).get_content() for kind in ("html", "plain"))
    links = lxml.html.fromstring(html).xpath("//@href")
    assert links
    assert {link.split("/")[2] for link in links} == {"arxiv.org"}
    assert mail["List-Unsubscribe"] is mail["List-Unsubscribe-Post"] is None
    assert mail["From"] == "Paperboy <me@example.org>"
    (ids,) = sent_papers([mail])
    assert re.findall(r"^(\d+)\. ", text, re.MULTILINE) == ["1", "2", "3"]
    assert len({*ids}) == len(ids) == 3
    assert text.replace("\r", "").endswith("-- \nEdit your interests in paperboy.yaml\n")


def test_file_on_github_is_named_by_its_address(folder, monkeypatch):
    for name, value in {
        "REPOSITORY": "me/papers",
        "WORKSPACE": str(folder),
        "SERVER_URL": "https://github.com",
        "REF_NAME": "main",
    }.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    address = once.address_of(folder / "paperboy.yaml")
    assert address == "https://github.com/me/papers/edit/main/paperboy.yaml"


def test_sender_is_user_of_mail_server(folder, settings):
    settings.EMAIL_URL = "smtp://you%40example.com:secret@mail.example.com:587"
    once.use_no_site(once_file.read(folder / "paperboy.yaml"))
    assert settings.DEFAULT_FROM_EMAIL == "Paperboy <you@example.com>"
    assert settings.MAIL_DOMAIN == "example.com"


def test_email_that_was_not_sent_is_sent_by_the_next_run(folder, settings, outbox):
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    with pytest.raises(
        CommandError, match=r"The email was not accepted: .*refused.* Run this again"
    ):
        run(folder)
    settings.EMAIL_URL = "file:"
    run(folder, NOW + DAY, ["monday", "tuesday"])
    assert [len(ids) for ids in sent_papers(outbox())] == [5]


# ---- State


def test_lost_database_brings_no_repeats(folder, outbox):
    run(folder)
    lose_database()
    run(folder, NOW + HOUR)
    assert len(outbox()) == 1
    run(folder, NOW + DAY, ["monday", "tuesday"])
    first, second = sent_papers(outbox())
    assert len(second) == 2
    assert not {*first} & {*second}
    assert len((folder / "paperboy.sent").read_text().splitlines()) == 2


def test_older_papers_are_not_new_after_a_loss(folder, outbox):
    run(folder, NOW + 3 * DAY, ["tuesday"])
    lose_database()
    run(folder, NOW + 4 * DAY, ["monday", "tuesday"])
    assert len(outbox()) == 1


def test_papers_that_come_in_after_a_loss_are_known_as_sent(folder, outbox):
    run(folder)
    lose_database()
    run(folder, NOW + DAY, ["tuesday"])
    run(folder, NOW + 2 * DAY, ["monday", "tuesday"])
    assert len(outbox()) == 2


def test_damaged_file_of_sent_papers_is_reported(folder):
    (folder / "paperboy.sent").write_text("2026-05-30 2605.00001\n<<<<<<< HEAD\n")
    with pytest.raises(CommandError, match=r"paperboy\.sent, line 2: this is not a day with ids"):
        run(folder)


def test_database_of_a_service_is_refused(folder, outbox):
    request = signup.SignUpRequest()
    signup.subscribe("you@example.org", request, source=make.CONSENT_SOURCE, now=NOW)
    with pytest.raises(CommandError, match="Set DATA_DIR to a new folder"):
        run(folder)


KILLED = """
import os, sys
from importlib import import_module
import django
django.setup()
from django.core.management import call_command
module, _, name = sys.argv[1].partition(":")
owner, _, name = name.rpartition(".")
owner = getattr(import_module(module), owner) if owner else import_module(module)
original = getattr(owner, name)
def die(*args, **options):
    if sys.argv[2] == "after":
        original(*args, **options)
    os._exit(9)
setattr(owner, name, die)
call_command("once", *sys.argv[3:])
"""
#: Where a run is killed, before or after that function, and how many emails it has sent by then.
MOMENTS = [
    ("digest.papers.store:store", "after", 0),
    ("digest.indexing.index_store:renew", "before", 0),
    ("digest.planning.plan:save_plan", "after", 0),
    ("subscriptions.delivery.transports.registry:FileConnection.offer", "after", 0),
    ("subscriptions.delivery.transports.registry:FileConnection.finish", "before", 0),
    ("subscriptions.delivery.transports.registry:FileConnection.finish", "after", 1),
    ("subscriptions.delivery.worker:deliver_due", "after", 1),
    ("pathlib:Path.replace", "before", 1),
    ("digest.operations.retention:purge", "before", 1),
]


@services.once
@pytest.mark.slow
@pytest.mark.parametrize("keeps_database", [True, False])
@pytest.mark.parametrize(("function", "moment", "sent"), MOMENTS)
def test_killed_run_costs_no_day_and_at_most_one_email(
    folder, tmp_path, function, moment, sent, keeps_database
):
    data = tmp_path / "data"
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(data)}
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    file, papers = folder / "paperboy.yaml", folder / "monday.jsonl"
    arguments = [str(file), "--papers", str(papers), "--now", NOW.isoformat()]
    command = [sys.executable, "-c", KILLED, function, moment, *arguments]
    assert subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode == 9
    assert len([*data.glob("outbox/*.eml")]) == sent
    if not keeps_database:
        for path in data.glob("paperboy.sqlite3*"):
            path.unlink()
    for hours in (1, 2):
        now = (NOW + hours * HOUR).isoformat()
        command = [sys.executable, "manage.py", "once", str(file), "--papers", str(papers)]
        subprocess.run([*command, "--now", now], env=environment, cwd=ROOT, check=True)
    emails = len([*data.glob("outbox/*.eml")])
    assert 1 <= emails <= 1 + sent
    assert len((folder / "paperboy.sent").read_text().splitlines()) == 1


# ---- The file


WRONG = [
    (
        "to: [me@example.org",
        "line 1: expected ',' or ']', but got '<stream end>': this is not YAML.",
    ),
    (
        "to: me@example.org\ninterests: I study: soups",
        "line 2: mapping values are not allowed here: this is not YAML.",
    ),
    ("just a text", "has no fields: begin with a line `to: you@example.org`"),
    ("interests: soups", "has no address: add a line `to: you@example.org`"),
    ("to: me@example.org\n\nintrests: soups", "line 3: there is no field 'intrests'; use inter"),
    ("to: me@example.org\nto: you@example.org", "line 2: to is there twice."),
    ("to: me@example\ninterests: soups", "line 1: to: This doesn’t look like an email"),
    ("to: {me: you}", "line 1: this must be a text, not a list or fields."),
    ("to: me@example.org", "says nothing about your work: add `interests`"),
    (
        "to: a@b.org\ncategories:\n- cs.CL\n- cs.QQ",
        "line 4: there is no category 'cs.QQ'; the nearest is cs.",
    ),
    ("to: a@b.org\ncategories: {cs: CL}", "line 2: this must be a text, not a list or fields."),
    ("papers: 51", "line 1: papers: Ensure this value is less than or equal to 50."),
    ("papers: ten", "line 1: papers: “ten” value must be an integer."),
    ("timezone: Berlin", "line 1: timezone: “Berlin” is not a time zone such as Europe/Berlin."),
    ("language: fr", "line 1: language: Value 'fr' is not a valid choice."),
    ("zotero: https://example.org/me", "line 1: zotero must be the number of a user, or"),
    ("to: a@b.org\nbibliography: none.bib", "line 2: there is no file none.bib."),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_wrong_file_is_explained(tmp_path, text, sentence):
    file = tmp_path / "paperboy.yaml"
    file.write_text(text)
    with pytest.raises(CommandError, match=re.escape(sentence)) as info:
        call_command("once", str(file))
    assert str(info.value).startswith("paperboy.yaml")
    assert "\n" not in str(info.value)


def test_unreadable_file_is_reported(tmp_path):
    with pytest.raises(CommandError, match=r"Cannot read .*: No such file"):
        once_file.read(tmp_path / "none.yaml")
    (tmp_path / "paperboy.yaml").write_bytes(b"to: caf\xe9")
    with pytest.raises(CommandError, match="Save it as UTF-8"):
        once_file.read(tmp_path / "paperboy.yaml")


def test_settings_follow_the_file(folder):
    run(folder)
    write(folder, to="you@example.org", papers=3, timezone="Asia/Tokyo", language="de")
    run(folder, NOW + DAY, ["tuesday"])
    subscriber = Subscriber.objects.get()
    assert (subscriber.email, subscriber.size) == ("you@example.org", 3)
    assert (subscriber.timezone, subscriber.language) == ("Asia/Tokyo", "de")


def test_feedback_follows_the_file(folder, capsys):
    lines = (folder / "monday.jsonl").read_text().splitlines()
    first, second = (json.loads(line)["id"] for line in lines[:2])
    text = (
        f"to: me@example.org\ninterests: {INTERESTS}\nmore: [{first}, 2001.09990]\nless: {second}"
    )
    (folder / "paperboy.yaml").write_text(text)
    run(folder)
    error = capsys.readouterr().err
    assert "paperboy.yaml, line 3: no paper '2001.09990' is known. Skipped." in error
    values = dict(Feedback.objects.values_list("paper", "value"))
    assert values == {first: "more", second: "less"}
    write(folder, more=[second])
    run(folder, NOW + DAY, ["tuesday"])
    assert dict(Feedback.objects.values_list("paper", "value")) == {second: "more"}


def test_bibliography_becomes_the_library(folder, capsys):
    write(folder, bibliography=str(DATA / "library.bib"))
    run(folder)
    assert LibraryPaper.objects.exists()
    write(folder)
    run(folder, NOW + DAY, ["tuesday"])
    assert not LibraryPaper.objects.exists()


# ---- Sources


@pytest.fixture
def local_web(monkeypatch):
    monkeypatch.setattr(harvest, "web_for", lambda source, **options: web_of(source.hosts))


def test_arxiv_is_read_by_the_categories(folder, monkeypatch, settings, outbox, local_web):
    abstract = make.about(INTERESTS)
    papers = [listed(f"2606.0100{n}", "cs.LG", abstract=abstract) for n in range(3)]
    papers += [listed(f"2606.0200{n}", "math.AG") for n in range(3)]
    with ArxivServer({YESTERDAY - 2 * DAY: papers[:1], TODAY: papers}, today=TODAY) as server:
        monkeypatch.setattr(
            registry,
            "source_named",
            lambda name: ArXiv(registry.arxiv_categories(), **server.addresses),
        )
        monkeypatch.setattr(once, "ArXiv", lambda: ArXiv(**server.addresses))
        write(folder, more=["2606.02001"])
        run(folder, papers=())
        assert {path.split("/")[2] for path in server.paths("/rss")} == {"cs.LG", "q-bio.NC"}
    assert len(outbox()) == 1
    assert Feedback.objects.get().paper_id == "2606.02001"


def test_zotero_is_read_with_the_key(
    folder, settings, monkeypatch, zotero_server, local_web, capsys
):
    settings.ZOTERO_KEY = zotero_server.key = "P9NiFoyLeZu2bZNvvuQPDWsd"
    zotero_server.add(1)
    monkeypatch.setattr(zotero, "Zotero", zotero_server.source)
    monkeypatch.setattr(once.Command, "_harvest", lambda self, last_day: True)
    write(folder, zotero=PATH)
    run(folder, papers=())
    assert LibraryPaper.objects.count() == 1
    assert ZoteroLibrary.objects.get().secret == ""
    settings.ZOTERO_KEY = "another"
    run(folder, NOW + DAY, papers=())
    assert "Zotero could not be read: " in capsys.readouterr().err
    write(folder)
    run(folder, NOW + 2 * DAY, papers=())
    assert not ZoteroLibrary.objects.exists()
    assert not Letter.objects.exists()
