"""Letters handed to providers over their APIs, which a server on loopback speaks."""

import json
import logging
import socket
from datetime import timedelta
from itertools import takewhile

import pytest
from django.core.exceptions import ImproperlyConfigured

from digest import checkup, planning
from digest.models import Pick
from subscriptions import mail, signup
from subscriptions.models import Letter, Sending
from subscriptions.post import (
    delivery,
    dns_records,
    esp_line,
    esps,
    oracles,
    sending,
    sweeper,
)
from subscriptions.post.clock import running_from
from subscriptions.post.line import Envelope
from subscriptions.post.lines import hand_over
from subscriptions.post.transports import transport_for
from tests import make, services
from tests.esp_server import EspServer
from tests.make import NOW
from tests.promised import broken

MINUTE = timedelta(minutes=1)
RAW = ["mailgun", "ses"]  # They take the very bytes of a letter.
TOLD = [name for name in esps.ESPS if name not in RAW]
MESSAGE_ID = "<digest.2026-06-01.0123456789abcdef0123456789abcdef@paperboy.example>"
READER = "reader@example.org"


@pytest.fixture
def server():
    server = EspServer()
    yield server
    server.close()


@pytest.fixture
def mime():
    content = mail.Content.of(
        "Überall: Graphs & trees",
        "Hello.\n\nÄ line.\n",
        "<p>Hello &amp; grüße.</p>\n",
        mail.headers("digest", "https://papers.example.org/unsubscribe/x/", "c"),
    )
    return mail.as_bytes(content, to=READER, message_id=MESSAGE_ID, date=NOW)


def send(url, mime):
    if url.startswith("ses:"):
        services.require("boto3")
    envelope = Envelope("bounces@paperboy.example", READER, "digest", 4711, NOW)
    return hand_over(transport_for(url), envelope, mime)


# ---- What they get


@pytest.mark.services
@pytest.mark.parametrize("esp", RAW)
def test_a_provider_that_takes_bytes_gets_the_very_bytes(server, mime, esp):
    verdict = send(server.url(esp), mime)
    assert verdict.answer == "accepted", verdict
    (sent,) = server.letters
    assert sent.raw.endswith(mime)
    assert sent.raw[: -len(mime)].count(b"\r\n") == (1 if esp == "ses" else 0)
    assert sent.to == READER
    assert sent.marks == {"letter": "4711", "message_id": MESSAGE_ID}


@pytest.mark.parametrize("esp", TOLD)
def test_a_provider_that_takes_parts_is_told_all_of_them(server, mime, esp):
    verdict = send(server.url(esp), mime)
    assert verdict.answer == "accepted", verdict
    (sent,) = server.letters
    assert (sent.to, sent.subject) == (READER, "Überall: Graphs & trees")
    assert sent.text == "Hello.\n\nÄ line.\n"
    assert sent.html == "<p>Hello &amp; grüße.</p>\n"
    assert "digest@paperboy.example" in sent.sender
    assert sent.marks == {"letter": "4711", "message_id": MESSAGE_ID}
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert headers["list-unsubscribe"] == "<https://papers.example.org/unsubscribe/x/>"
    assert headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert headers["list-id"] == "Daily papers <daily.paperboy.example>"
    assert headers["auto-submitted"] == "auto-generated"
    assert not {"from", "to", "subject", "date", "content-type"} & set(headers)
    if esp in ("postmark", "sendgrid"):
        assert headers["message-id"] == MESSAGE_ID


@pytest.mark.parametrize("esp", ["postmark", "mailgun", "sendgrid"])
def test_where_a_provider_can_be_told_it_tracks_nobody(server, mime, esp):
    send(server.url(esp), mime)
    off = {
        "postmark": (False, "None"),
        "mailgun": ("no", "no"),
        "sendgrid": {"open_tracking": {"enable": False}, "click_tracking": {"enable": False}},
    }
    assert server.letters[0].tracking == off[esp]


def test_the_providers_answer_names_its_own_id(server, mime):
    verdict = send(server.url("resend"), mime)
    assert verdict.reply.startswith("Resend took it: ")
    assert len(verdict.reply) > 40


@pytest.mark.parametrize("esp", ["resend", "brevo"])
def test_a_letter_has_the_same_key_however_often_it_is_handed_over(server, mime, esp):
    for _ in range(2):
        send(server.url(esp), mime)
    assert len({letter.key for letter in server.letters}) == 1


def test_a_letter_that_can_not_be_told_costs_itself_alone(server, mime):
    verdict = send(server.url("postmark"), mime.replace(b"multipart/alternative", b"text/strange"))
    assert (verdict.answer, verdict.about) == ("refused", "")
    assert not server.letters


# ---- What they answer


def postmark(code, words="no"):
    return 422, {"ErrorCode": code, "Message": words}


def amazon(status, kind, words):
    return status, {"message": words}, {"x-amzn-ErrorType": kind}


INACTIVE = (
    "You tried to send to a recipient that has been marked as inactive. Found inactive addresses: "
    "reader@example.org. Inactive recipients are ones that have generated a hard bounce."
)


@pytest.mark.services
@pytest.mark.parametrize(
    ("esp", "said", "answer", "about"),
    [
        ("postmark", (401, {"ErrorCode": 10, "Message": "bad token"}), "deferred", "us"),
        ("postmark", postmark(400, "Sender signature not found"), "deferred", "us"),
        ("postmark", postmark(405, "Not allowed to send"), "deferred", "us"),
        ("postmark", postmark(406, INACTIVE), "refused", "address"),
        ("postmark", postmark(300, f"Invalid 'To' address: '{READER}'."), "refused", "address"),
        ("postmark", postmark(300, "Invalid 'From' address."), "deferred", "us"),
        ("postmark", postmark(411, "Forbidden attachment type"), "refused", ""),
        ("postmark", (500, {"ErrorCode": 0, "Message": "oh"}), "unknown", "us"),
        ("postmark", (200, "what?"), "unknown", ""),
        ("mailgun", (401, "Forbidden"), "deferred", "us"),
        ("mailgun", (404, {"message": "Domain not found: mg.example.org"}), "deferred", "us"),
        ("mailgun", (400, {"message": "to parameter is not a valid address"}), "refused", ""),
        ("mailgun", (500, "Internal Server Error"), "unknown", "us"),
        ("mailgun", (200, "Mailgun Magnificent API"), "unknown", ""),
        ("sendgrid", (403, {"errors": [{"message": "access forbidden"}]}), "deferred", "us"),
        ("sendgrid", (413, {"errors": [{"message": "too large"}]}), "refused", ""),
        ("sendgrid", (503, "busy"), "deferred", "us"),
        ("brevo", (402, {"code": "not_enough_credits"}), "deferred", "us"),
        ("brevo", (400, {"message": "sender is invalid"}), "deferred", "us"),
        ("brevo", (400, {"code": "duplicate_request"}), "accepted", ""),
        ("resend", (409, {"name": "concurrent_idempotent_requests"}), "deferred", "us"),
        ("resend", (409, {"name": "invalid_idempotent_request"}), "accepted", ""),
        ("resend", (403, {"message": "The domain is not verified"}), "deferred", "us"),
        ("resend", (502, "bad gateway"), "unknown", "us"),
        ("ses", amazon(400, "MessageRejected", "Email address is not verified."), "deferred", "us"),
        ("ses", amazon(403, "AccessDeniedException", "not authorized"), "deferred", "us"),
        ("ses", amazon(400, "BadRequestException", "Illegal address"), "refused", ""),
        ("ses", amazon(500, "InternalFailure", "oh"), "unknown", "us"),
    ],
)  # fmt: skip
def test_what_a_provider_answers_is_judged_by_what_is_sure(server, mime, esp, said, answer, about):
    server.says = lambda path: said
    verdict = send(server.url(esp), mime)
    assert (verdict.answer, verdict.about) == (answer, about), verdict
    assert READER not in verdict.reply
    assert server.asked == 1


def test_a_busy_provider_is_asked_again_when_it_says(server, mime, monkeypatch):
    monkeypatch.setattr(esp_line, "BUSY_SECONDS", 0.01)
    answers = [(429, {}, {"Retry-After": "0.01"}), (429, {}), None]
    server.says = lambda path: answers.pop(0)
    assert send(server.url("resend"), mime).answer == "accepted"
    assert server.asked == 3


@pytest.mark.parametrize("wait", ["", "3600", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_provider_that_stays_busy_gets_no_more_letters_for_now(server, mime, monkeypatch, wait):
    monkeypatch.setattr(esp_line, "BUSY_SECONDS", 0.001)
    server.says = lambda path: (429, {}, {"Retry-After": wait})
    verdict = send(server.url("postmark"), mime)
    assert (verdict.answer, verdict.about) == ("deferred", "us")
    assert server.asked == (1 if wait == "3600" else esp_line.BUSY_TRIES)


# ---- What they don't answer


@pytest.mark.services
@pytest.mark.parametrize("esp", ["postmark", "ses"])
def test_what_surely_did_not_leave_is_tried_again(mime, esp):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    key = {"postmark": "key", "ses": "A:b@eu-west-1"}[esp]
    verdict = send(f"{esp}://{key}?api=http://127.0.0.1:{port}", mime)
    assert (verdict.answer, verdict.stage, verdict.about) == ("deferred", "connect", "us")


@pytest.mark.services
@pytest.mark.parametrize("esp", ["mailgun", "ses"])
def test_an_answer_that_got_lost_leaves_it_unknown_and_nothing_is_sent_twice(server, mime, esp):
    """boto3 would try again by itself."""
    server.says = lambda path: "drop"
    assert send(server.url(esp), mime).answer == "unknown"
    assert len(server.letters) == 1


def test_silence_leaves_it_unknown(server, mime, monkeypatch):
    monkeypatch.setattr(esps, "ANSWER_SECONDS", 0.2)
    server.says = lambda path: "hang"
    assert send(server.url("postmark"), mime).answer == "unknown"


def test_an_answer_that_never_ends_is_not_waited_for(server, mime, monkeypatch):
    monkeypatch.setattr(esp_line, "DEADLINE", 0.2)
    server.says = lambda path: "hang"
    verdict = send(server.url("postmark"), mime)
    assert (verdict.answer, verdict.reply) == ("unknown", "Postmark: no answer")


# ---- In a round


@pytest.fixture
def written(monkeypatch):
    """Write letters in a word."""
    from subscriptions import registry

    def compose(letter, now):
        return mail.Content.of(
            "P", "Hello.\n", "<p>Hello.</p>", mail.headers("digest", "http://x/")
        )

    monkeypatch.setitem(registry.composers, "digest", make.one_by_one(compose))


def digest_to(email):
    return Letter.objects.create(
        subscriber=make.subscriber(email),
        kind="digest",
        day=NOW.date(),
        created_at=NOW,
        next_try_at=NOW,
        closes_at=NOW + timedelta(hours=18),
    )


def deliver(now=NOW):
    return delivery.deliver_due(running_from(now))


def states():
    return set(Letter.objects.values_list("state", flat=True))


@pytest.mark.django_db
def test_many_letters_leave_over_many_connections_each_once(settings, server, written):
    settings.EMAIL_URL = server.url("postmark", connections=5)
    letters = [digest_to(f"r{number}@example.org") for number in range(30)]
    assert deliver()["accepted"] == 30
    assert sorted(sent.to for sent in server.letters) == sorted(
        letter.subscriber.email for letter in letters
    )
    ids = set(Letter.objects.values_list("message_id", flat=True))
    assert {sent.marks["message_id"] for sent in server.letters} == ids
    (journal,) = (settings.DATA_DIR / "journal").iterdir()
    assert len(journal.read_bytes().splitlines()) == 30


@pytest.mark.django_db
def test_who_leaves_while_her_letter_is_made_is_sent_none(settings, server, written, monkeypatch):
    settings.EMAIL_URL = server.url("postmark")
    letter = digest_to(READER)
    begin = esp_line.EspLine.begin

    def leave(line, envelope, mime):
        begin(line, envelope, mime)
        signup.unsubscribe(letter.subscriber.public_id, door=signup.Door("test"), now=NOW)

    monkeypatch.setattr(esp_line.EspLine, "begin", leave)
    deliver()
    assert [sent.subject for sent in server.letters] != ["P"]
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", "unsubscribed")


@pytest.mark.django_db
def test_a_provider_that_keeps_keys_is_handed_a_letter_again_and_sends_it_once(
    settings, server, written
):
    """However often its answers get lost."""
    settings.EMAIL_URL = server.url("resend")
    letter = digest_to(READER)
    server.says = lambda path: "drop"
    now = NOW
    for _ in range(3):
        deliver(now)
        assert states() == {"uncertain"}
        now += sweeper.HOLD + MINUTE
        sweeper.sweep(now)
        now += 20 * MINUTE
    server.says = lambda path: None
    deliver(now)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats, letter.attempt) == ("accepted", 1, 4)
    assert len(server.letters) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["leaves", "is refused", "is too late"])
def test_papers_that_may_have_arrived_stay_hers_though_the_next_try_surely_did_not_leave(
    settings, server, written, how
):
    settings.EMAIL_URL = server.url("resend")
    reader = make.subscriber(READER, interests="graphs")
    make.paper("Graphs")
    planning.plan(NOW)
    letter = Letter.objects.get()
    server.says = lambda path: "drop"
    deliver()
    later = NOW + sweeper.HOLD + MINUTE
    sweeper.sweep(later)
    assert states() == {"planned"}
    server.says = lambda path: (422, {"message": "no"})
    if how == "leaves":
        signup.unsubscribe(reader.public_id, door=signup.Door("test"), now=later)
    elif how == "is refused":
        deliver(later + 20 * MINUTE)
    else:
        sweeper.sweep(letter.closes_at)
    letter.refresh_from_db()
    assert letter.state in ("skipped", "failed", "missed")
    assert Pick.objects.filter(digest__letter=letter).exists()
    assert "picks" not in broken(letter.closes_at)


@pytest.mark.django_db
def test_a_key_that_is_too_old_is_not_relied_on(settings, server):
    oracle = oracles.oracle_for("", server.url("resend"), settings.DATA_DIR)

    def answer(age):
        question = oracles.Question(MESSAGE_ID, 1, "digest", NOW - age, NOW - age)
        return oracle.look_up([question])[MESSAGE_ID]

    assert answer(timedelta(hours=22)) == "again"
    assert answer(timedelta(hours=24)) == "unknown"
    assert oracle.accepted([MESSAGE_ID], NOW) == set()
    others = oracles.oracle_for("", server.url("mailgun"), settings.DATA_DIR)
    assert isinstance(others, oracles.NoOracle)


@pytest.mark.django_db
def test_a_provider_that_breaks_puts_one_letter_in_doubt_and_not_all(settings, server, written):
    settings.EMAIL_URL = server.url("mailgun", connections=1)
    for number in range(10):
        digest_to(f"r{number}@example.org")
    server.says = lambda path: (500, "oh")
    deliver()
    assert server.asked == 1
    row = sending.current()
    assert (row.trouble, row.said) == ("unreachable", "Mailgun: HTTP 500 oh")
    assert Letter.objects.filter(state="uncertain").count() == 1
    deliver(NOW + MINUTE)  # One tries, for all.
    assert server.asked == 2
    assert sending.current().failures == 2  # And the next waits for longer.


@pytest.mark.django_db
def test_a_provider_that_does_not_let_us_in_is_told_of_without_the_key(
    settings, server, written, caplog
):
    caplog.set_level(logging.DEBUG)
    settings.EMAIL_URL = server.url("postmark", connections=1)
    digest_to(READER)
    server.says = lambda path: (401, {"ErrorCode": 10, "Message": "No such token."})
    deliver()
    row = Sending.objects.get()
    assert row.trouble == "auth"
    assert "No such token." in row.said
    transport = transport_for(settings.EMAIL_URL)
    told = [
        caplog.text,
        row.said,
        repr(transport.account),
        json.dumps(list(Letter.objects.values()), default=str),
    ]
    assert not any("pm-key" in one for one in told)
    assert states() == {"planned"}


@pytest.mark.django_db
def test_an_address_that_a_provider_keeps_letters_from_is_written_to_no_more(
    settings, server, written
):
    settings.EMAIL_URL = server.url("postmark")
    letter = digest_to(READER)
    server.says = lambda path: postmark(406, INACTIVE)
    deliver()
    letter.refresh_from_db()
    letter.subscriber.refresh_from_db()
    assert letter.state == "failed"
    assert letter.subscriber.suppressed_by == "bounced"


# ---- Configured


@pytest.mark.parametrize(
    "url",
    [
        "postmark://",
        "mailgun://sesame",
        "ses://",
        "resend://sesame?api=http://api.example.org",
        "resend://sesame?api=ftp://127.0.0.1",
        "sendgrid://sesame?stream=x",
        "brevo://sesame?connections=0",
        "brevo://sesame?connections=many",
        "brevo://sesame?connections=51",
        "sparkpost://sesame",
    ],
)
def test_what_can_be_no_provider_is_refused_at_the_start_without_its_key(url):
    with pytest.raises(ImproperlyConfigured) as error:
        transport_for(url)
    assert "sesame" not in str(error.value)


def test_a_key_may_hold_what_an_address_may_not():
    account = esps.account_of("ses://AKID:a%2Fb%2Bc@eu-west-1?configuration_set=papers")
    client = account.options["client_params"]
    assert client["aws_secret_access_key"] == "a/b+c"
    assert client["region_name"] == "eu-west-1"
    assert account.options["configuration_set_name"] == "papers"
    assert esps.account_of("postmark://Ab%2FC").options["server_token"] == "Ab/C"


@pytest.mark.django_db
def test_the_doctor_tells_of_the_provider_and_shows_no_key(settings, server):
    """What stands where a mail server's name would is the key."""
    settings.EMAIL_URL = server.url("sendgrid")
    settings.DEFAULT_FROM_EMAIL = "Paperboy <digest@papers.example.org>"
    findings = takewhile(lambda one: one.what != "model", checkup.examine(NOW))
    found = {one.what: (one.grade, one.said) for one in findings}
    assert found["mail server"][1].startswith("SendGrid, over its API.")
    grade, said = found["bounces"]
    assert (grade, "set WEBHOOK_SIGNING_KEY" in said) == ("wrong", True)
    assert "http://127.0.0.1:8000/anymail/sendgrid/tracking/" in said
    record = dns_records.spf("papers.example.org")
    assert "NAME is what SendGrid tells you" in record.hint
    told = [*(said for _, said in found.values()), str(record), record.hint]
    assert "sg.key" not in "".join(told).lower()
