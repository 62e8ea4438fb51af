"""The switch that stops all sending, and what the operator sees: command, panel, doctor."""

import lxml.html
import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.urls import reverse

from subscriptions.delivery import circuit_breaker, queue, status, worker
from subscriptions.models import Letter, LetterFact, Sending
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers import data_files
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

PAGE = "admin:subscriptions_sending_changelist"


def letter(email=None, **fields):
    """Write a confirmation that is due."""
    subscriber = make.subscriber(email, confirmed=False)
    written = queue.create(subscriber, "confirm", now=NOW, closes_at=NOW + 7 * DAY)
    Letter.objects.filter(pk=written.pk).update(**fields)
    written.refresh_from_db()
    return written


def command(capsys, *args, **options):
    call_command("sending", *args, **options)
    return capsys.readouterr().out


# ---- The command


def test_command_stops_and_resumes_sending(outbox, capsys, clock):
    letter()
    sentence = "Sending was stopped at 12:00 UTC on 1 June 2026 by Ada."
    assert sentence in command(capsys, "stop", by="Ada")
    clock.now = NOW + MINUTE
    assert sentence in command(capsys, "stop", by="Grace")  # The first stop counts.
    worker.deliver_due(lambda: NOW)
    assert outbox() == []
    assert "Sending is on." in command(capsys, "resume", by="Ada")
    worker.deliver_due(lambda: NOW)
    assert len(outbox()) == 1


def test_command_without_arguments_prints_the_state_only(capsys):
    letter(next_try_at=NOW + MINUTE)
    assert "1 queued: the first is due at 12:01 UTC on 1 June 2026" in command(capsys)
    letter()
    letter(next_try_at=NOW - 5 * MINUTE)
    letter(state="uncertain", next_try_at=NOW + 15 * MINUTE)
    letter(state="claimed", lease_until=NOW + 14 * MINUTE)
    assert command(capsys) == data_files.text("sending_state.txt")
    assert not Sending.objects.exists()


# ---- The panel


def test_stop_button_asks_on_a_page_and_returns(panel, outbox):
    letter()
    url = reverse("admin:subscriptions_sending_stop")
    response = panel.get(url)
    assert "Emails already handed to the mail server may still arrive" in text_of(response)
    page = lxml.html.fromstring(response.content)
    assert page.xpath("normalize-space(//title)") == "Stop sending | Paperboy"
    assert page.xpath("//link[@rel='stylesheet']")
    (form,) = page.xpath("//div[@id='content']//form")
    assert [one.get("href") for one in form.iter("a")] == [reverse(PAGE)]
    assert not Sending.objects.exists()
    response = panel.post(url, dict(form.fields))
    assert (response.status_code, response["Location"]) == (302, reverse(PAGE))
    worker.deliver_due(lambda: NOW)
    assert outbox() == []
    text = text_of(panel.get(reverse(PAGE)))
    assert "Sending was stopped at 12:00 UTC on 1 June 2026 by you." in text
    assert LogEntry.objects.get().get_change_message() == "Sending stopped."


# ---- A letter's page


@pytest.mark.parametrize(("fields", "sentence"), data_files.load("letter_statuses.toml")["said"])
def test_letter_page_describes_its_state(panel, fields, sentence):
    moments = {"lease_until": NOW + MINUTE, "left_at": NOW, "ended_at": NOW}
    described = letter(**moments | fields)
    url = reverse("admin:subscriptions_letter_change", args=[described.pk])
    assert sentence in text_of(panel.get(url))


def test_waiting_letter_shows_what_it_waits_for():
    waiting = letter("reader@example.org", next_try_at=NOW + MINUTE)
    assert status.describe(waiting, NOW) == "It will be tried at 12:01 UTC on 1 June 2026."
    circuit_breaker.open("unreachable", "no route", NOW)
    assert "is unreachable" in status.describe(waiting, NOW)
    circuit_breaker.stop("Ada", NOW)
    assert status.describe(waiting, NOW).startswith("It waits: sending was stopped")


def test_every_fact_has_words():
    assert set(status.FACT_SENTENCES) == set(LetterFact.Kind)


def test_resuming_retries_without_waiting_for_the_breaker():
    circuit_breaker.open("auth", "535 5.7.8 no", NOW)
    circuit_breaker.resume("Ada", NOW)
    assert circuit_breaker.current().wait_reason(NOW) == ""
    assert status.sending_status(NOW).text.endswith("The next attempt is due.")


def test_trouble_is_truncated_and_has_no_address(caplog):
    circuit_breaker.open("auth", "535 5.7.8 no such user <anna@example.org> " * 20, NOW)
    assert len(circuit_breaker.current().reply) == 300
    assert "anna" not in circuit_breaker.current().reply + caplog.text


def test_command_names_its_user_by_default(capsys, monkeypatch):
    monkeypatch.setenv("LOGNAME", "postmaster")
    assert "by postmaster." in command(capsys, "stop")
    command(capsys, "resume")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 54321)  # A user without a name.
    assert "by user 54321." in command(capsys, "stop")
