"""Volleys: what becomes of thirty letters of one round when one of them, the mail server, the
database or a person does something else than usual.
"""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from digest import planning
from digest.models import Pick
from subscriptions import links, mail, registry, signup
from subscriptions.models import Letter, Provider, Subscriber
from subscriptions.post import (
    delivery,
    doubts,
    ledger,
    lines,
    providers,
    sending,
    smtp_line,
    suppression,
)
from subscriptions.post.clock import running_from
from tests import make
from tests.faults.proxy import Proxy
from tests.make import NOW
from tests.smtp_server import Conversation, MailServer

pytestmark = pytest.mark.django_db
DOOR = signup.Door("test")
MINUTE = timedelta(minutes=1)
MANY = 29


class Scripted(Conversation):
    """Asks the server's script first: `says(stage, whom, conversation)` returns the answer, if any.

    `whom` is the recipient, as soon as one is told.
    """

    letters = 0

    def answer(self, stage, usual, recipient=""):
        whom = recipient or self.recipient or self.sender
        said = self.server.says(stage, whom, self)
        if said is None:
            return super().answer(stage, usual, recipient)
        self.say(said)
        return False

    def on_mail(self, line):
        self.letters += 1
        super().on_mail(line)


@pytest.fixture
def server(settings):
    """A mail server with a script, to which letters go over ten lines."""
    with MailServer() as server:
        server.RequestHandlerClass = Scripted
        server.says = lambda stage, whom, conversation: None
        settings.EMAIL_URL = f"{server.url}?connections=10"
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def written(monkeypatch):
    """Write letters in a word. What this holds for an address, or for all, is raised, called or
    said in its place.
    """
    instead = {}

    def compose(letter, now):
        what = instead.get(letter.subscriber.email, instead.get("all"))
        if callable(what):
            what = what(letter)
        if isinstance(what, Exception):
            raise what
        headers = mail.headers("digest", "http://x/")
        return what or mail.Content.of("Papers", "Hello.\n", "<p>Hello.</p>", headers)

    monkeypatch.setitem(registry.composers, "digest", make.one_by_one(compose))
    return instead


def digest_to(email):
    """Plan a digest for somebody, due now, without papers."""
    reader = make.subscriber(email)
    return Letter.objects.create(
        subscriber=reader,
        kind="digest",
        day=NOW.date(),
        created_at=NOW,
        next_try_at=NOW,
        closes_at=NOW + timedelta(hours=18),
    )


def digests(odd=None, count=MANY, domain="example.org"):
    """Plan so many usual digests and, amid them, an odd one, which is returned."""
    for number in range(count // 2):
        digest_to(f"early-{number}@{domain}")
    letter = digest_to(odd) if odd else None
    for number in range(count - count // 2):
        digest_to(f"late-{number}@{domain}")
    return letter


def deliver(now=NOW, **limits):
    return delivery.deliver_due(running_from(now), **limits)


def states():
    """Return how many digests are in each state."""
    found = [letter.state for letter in Letter.objects.filter(kind="digest")]
    return {state: found.count(state) for state in found}


def recipients(server):
    return sorted(recipient for recipient, _ in server.accepted)


def to_one(email, stage, reply):
    """A script: this reply at this stage to this address, and nothing odd to all others."""
    return lambda at, whom, conversation: reply if (at, whom) == (stage, email) else None


# ---- One among thirty (faults 15 to 20)

ODD = "odd@elsewhere.example"


@pytest.mark.parametrize(
    ("stage", "reply", "state", "is_suppressed", "is_slowed"),
    [
        ("rcpt", b"421 4.3.2 shutting down", "planned", False, True),
        ("data", b"421 4.3.2 shutting down", "planned", False, True),
        ("dot", b"421 4.3.2 shutting down", "planned", False, True),
        ("rcpt", b"450 4.2.1 mailbox busy", "planned", False, False),
        ("rcpt", b"451 4.7.1 greylisted, come back later", "planned", False, False),
        ("rcpt", b"452 4.2.2 mailbox full", "planned", False, False),
        ("rcpt", b"450 4.7.1 rate limit exceeded", "planned", False, True),
        ("data", b"451 4.3.0 not now", "planned", False, False),
        ("dot", b"451 4.3.0 not now", "planned", False, False),
        ("dot", b"452 4.3.1 disk full", "planned", False, False),
        ("dot", b"450 4.7.28 unusual rate of mail", "planned", False, True),
        ("rcpt", b"550 5.1.1 no such user", "failed", True, False),
        ("rcpt", b"550 5.2.1 mailbox disabled", "failed", True, False),
        ("dot", b"550 5.1.1 no such user", "failed", True, False),
        ("rcpt", b"552 5.2.2 mailbox full", "failed", False, False),
        ("rcpt", b"550 no", "failed", False, False),
        ("rcpt", b"550 5.7.1 not from you", "failed", False, False),
        ("data", b"554 5.3.0 no", "failed", False, False),
        ("dot", b"554 5.7.1 looks like spam", "failed", False, False),
    ],
)
def test_what_is_said_of_one_letter_costs_that_one_alone(
    server, stage, reply, state, is_suppressed, is_slowed
):
    letter = digests(ODD)
    server.says = to_one(ODD, stage, reply + b"\r\n")

    counts = deliver()

    assert counts["accepted"] == len(set(recipients(server)) - {ODD}) == MANY
    letter.refresh_from_db()
    assert (letter.state, letter.stage, letter.attempt) == (state, stage, 1)
    assert (letter.stumbles, letter.repeats) == (0, 0)
    assert reply.decode() in (letter.reason if state == "failed" else letter.last_reply)
    suppressed = Subscriber.objects.exclude(suppressed_at=None)
    assert [reader.email for reader in suppressed] == [ODD] * is_suppressed
    assert [row.name for row in Provider.objects.all()] == ["elsewhere.example"] * is_slowed
    assert sending.current().why_not(NOW) == ""


@pytest.mark.parametrize(
    "how", ["drop", "reset", "204", "garble", "999", "2x0", "nothing", "long", "lines", "binary"]
)
@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_nonsense_and_silence_cost_one_letter_a_try_and_leave_doubt_only_after_its_dot(
    server, stage, how
):
    said = {
        "999": b"999 what\r\n",
        "2x0": b"2x0 what\r\n",
        "nothing": b"\r\n",
        "long": b"250 " + b"x" * 10_000 + b"\r\n",
        "lines": b"250-and\r\n" * 1_000 + b"250 done\r\n",
        "binary": b"\x00\xff\x16\x03\r\n",
    }
    odd = ODD if how in said else f"{how}-{stage}@elsewhere.example"
    letter = digests(odd)
    if how in said:
        server.says = to_one(odd, stage, said[how])

    counts = deliver()

    assert counts["accepted"] == MANY
    letter.refresh_from_db()
    assert letter.state == ("uncertain" if stage == "dot" else "planned")
    assert (letter.attempt, letter.stumbles, letter.stage) == (1, 0, stage)
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert sending.current().why_not(NOW) == ""


def test_a_server_that_hangs_up_amid_the_body_is_offered_that_letter_later(server):
    letter = digests("drop-body@elsewhere.example")
    assert deliver()["accepted"] == MANY
    letter.refresh_from_db()
    assert (letter.state, letter.attempt) == ("planned", 1)


def test_a_doubted_letter_among_thirty_is_repeated_alone_with_the_same_bytes(server):
    letter = digests("drop-dot@elsewhere.example")
    seen = []
    server.before_dot_reply = seen.append
    deliver()
    for minute in (16, 17):
        doubts.sweep(NOW + minute * MINUTE)
        deliver(NOW + minute * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats, letter.attempt) == ("uncertain", 1, 2)
    assert len(seen) == MANY + 2
    assert len(server.accepted) == MANY


@pytest.mark.parametrize("how", ["garble", "drop", "silent", "endless", "550"])
def test_whatever_is_said_to_quit_costs_no_letter(server, how):
    digests(domain="example.org")
    for number in range(10):
        digest_to(f"{how}-quit@{number}.example")
    began = time.monotonic()
    assert deliver()["accepted"] == MANY + 10
    assert time.monotonic() - began < 3
    doubts.sweep(NOW + timedelta(hours=1))
    assert states() == {"accepted": MANY + 10}


# ---- Slow ones (faults 21 and 22)


@pytest.fixture
def impatient(monkeypatch):
    """The times of RFC 5321, a thousandth as long."""
    scaled = {stage: seconds / 1000 for stage, seconds in smtp_line.SECONDS.items()}
    monkeypatch.setattr(smtp_line, "SECONDS", scaled)
    monkeypatch.setattr(lines, "LOOK_AGAIN", 0.05)


def test_a_server_that_thinks_long_about_one_letter_delays_no_other(server):
    letter = digests("slow@elsewhere.example")
    others_done = threading.Event()
    waited = []

    def think(recipient):
        if recipient == "slow@elsewhere.example":
            waited.append(others_done.wait(30))
        elif len(server.accepted) == MANY - 1:
            threading.Timer(0.3, others_done.set).start()

    server.before_dot_reply = think
    deliver()

    assert waited == [True]
    assert states() == {"accepted": MANY + 1}
    ends = Letter.objects.exclude(pk=letter.pk).values_list("ended_at", flat=True)
    letter.refresh_from_db()
    # The others were recorded too, not only taken, while the slow one was thought about.
    assert max(ends) < letter.ended_at - timedelta(seconds=0.1)


def test_a_server_that_thinks_for_too_long_leaves_that_one_letter_in_doubt(server, impatient):
    letter = digests("slow@elsewhere.example")
    gone = threading.Event()
    server.before_dot_reply = lambda recipient: recipient.startswith("slow") and gone.wait(30)
    try:
        assert deliver()["accepted"] == MANY
    finally:
        gone.set()
    letter.refresh_from_db()
    assert (letter.state, letter.last_reply) == (
        "uncertain",
        "the mail server did not answer in time",
    )


@pytest.mark.parametrize(("stage", "state"), [("rcpt", "planned"), ("dot", "uncertain")])
def test_a_black_hole_holds_a_worker_no_longer_than_its_time(
    server, settings, impatient, stage, state
):
    proxy = Proxy(server.server_address[1])
    settings.EMAIL_URL = f"smtp://127.0.0.1:{proxy.port}?connections=1"

    def vanish(at, whom, conversation):
        proxy.is_stalling = proxy.is_stalling or (at, whom) == (stage, "odd@example.org")

    server.says = vanish
    letter = digest_to("odd@example.org")
    began = time.monotonic()
    deliver()
    proxy.close()
    assert time.monotonic() - began < 5
    letter.refresh_from_db()
    assert (letter.state, letter.last_reply) == (state, "the mail server did not answer in time")


@pytest.mark.parametrize(("stage", "state"), [("rcpt", "planned"), ("dot", "uncertain")])
def test_a_connection_that_is_reset_costs_its_own_letter_and_the_next_has_another(
    server, settings, stage, state
):
    proxy = Proxy(server.server_address[1])
    settings.EMAIL_URL = f"smtp://127.0.0.1:{proxy.port}?connections=1"

    def cut(at, whom, conversation):
        if (at, whom) == (stage, "odd@example.org"):
            proxy.cut()

    server.says = cut
    letters = [digest_to(f"{name}@example.org") for name in ("first", "odd", "third")]
    deliver()
    proxy.close()
    for letter in letters:
        letter.refresh_from_db()
    assert [letter.state for letter in letters] == ["accepted", state, "accepted"]


# ---- Lines that are used again (fault 27)


def test_after_a_refused_letter_the_next_goes_over_a_fresh_line(server, settings):
    settings.EMAIL_URL = f"{server.url}?connections=1"
    for name in ("first", "550-rcpt", "third", "fourth"):
        digest_to(f"{name}@example.org")
    deliver()
    assert recipients(server) == [f"{name}@example.org" for name in ("first", "fourth", "third")]
    assert server.connected == 2


@pytest.mark.parametrize("connections", [1, 4, 10])
def test_a_server_that_takes_five_letters_a_connection_costs_nobody_a_try(
    server, settings, connections
):
    settings.EMAIL_URL = f"{server.url}?connections={connections}"
    digests(count=60)

    def enough(stage, whom, conversation):
        if stage == "mail" and conversation.letters > 5:
            return b"421 4.7.0 too many messages on this connection\r\n"

    server.says = enough
    assert deliver()["accepted"] == 60
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}
    assert not Provider.objects.exists()


@pytest.mark.parametrize("connections", [1, 4, 10])
def test_a_server_that_hangs_up_unsaid_after_each_letter_costs_nobody_a_try(
    server, settings, connections
):
    settings.EMAIL_URL = f"{server.url}?connections={connections}"
    digests(count=40)

    def leave(stage, whom, conversation):
        if stage == "mail" and conversation.letters > 1:
            conversation.connection.shutdown(2)
            return b""

    server.says = leave
    assert deliver()["accepted"] == 40
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}


# ---- The breaker (fault 16)


def test_a_wrong_password_waits_for_the_operator_and_is_nobodys_fault(server, settings, caplog):
    host = server.url.removeprefix("smtp://")
    settings.EMAIL_URL = f"smtp://us:secret@{host}?connections=10"
    server.extensions = ("PIPELINING", "AUTH PLAIN")
    server.replies["auth"] = b"535 5.7.8 bad credentials\r\n"
    digests(count=30)

    deliver()

    assert (sending.current().trouble, sending.current().said) == (
        "auth",
        "535 5.7.8 bad credentials",
    )
    assert set(Letter.objects.values_list("state", "attempt")) == {("planned", 0)}
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    assert "secret" not in caplog.text

    tried = server.connected
    deliver(NOW + 0.9 * MINUTE)  # Nobody knocks meanwhile.
    assert server.connected == tried
    deliver(NOW + 2 * MINUTE)  # Then one does, once.
    assert server.connected == tried + 1
    assert sending.current().retry_at >= NOW + 7 * MINUTE  # Longer each time.

    server.replies.clear()
    assert deliver(NOW + 8 * MINUTE)["accepted"] == 30
    assert (sending.current().failures, sending.current().trouble) == (0, "")


def test_a_server_that_has_lost_its_tls_is_told_nothing_and_marks_no_address(server, settings):
    settings.EMAIL_URL = f"{server.url}?connections=10&tls=starttls"
    digests(count=30)
    deliver()
    assert sending.current().trouble == "tls"
    assert set(Letter.objects.values_list("state", "attempt")) == {("planned", 0)}
    assert not any(line.startswith(b"MAIL") for line in server.heard)

    settings.EMAIL_URL = f"{server.url}?connections=10"
    assert deliver(NOW + 2 * MINUTE)["accepted"] == 30


@pytest.mark.parametrize("stage", ["mail", "rcpt", "dot"])
def test_being_told_to_log_in_stops_the_round_for_all_and_is_told_once(server, stage, caplog):
    server.replies[stage] = b"530 5.7.0 authentication required\r\n"
    digests(count=30)

    deliver()

    assert sending.current().trouble == "auth"
    assert set(Letter.objects.values_list("state", "stumbles")) == {("planned", 0)}
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    assert max(Letter.objects.values_list("attempt", flat=True)) == 1

    server.replies.clear()
    assert deliver(NOW + 2 * MINUTE)["accepted"] == 30


def test_a_server_that_lets_us_in_and_takes_nothing_is_asked_more_seldom_each_time(server):
    server.replies["mail"] = b"530 5.7.0 authentication required\r\n"
    digests(count=30)
    pauses, lines_tried, now = [], [], NOW
    for _ in range(3):
        tried = server.connected
        deliver(now)
        lines_tried.append(server.connected - tried)
        pauses.append(round((sending.current().retry_at - now) / MINUTE))
        now += timedelta(minutes=20)  # All are due again.
    assert pauses == [1, 5, 15]
    assert lines_tried[1:] == [1, 1]  # A try is one, until it has succeeded.


# ---- The server is away (faults 24 and 25)


def test_a_server_that_is_away_at_the_due_hour_costs_nobody_a_try(server, settings):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    digests(count=30)
    for minute in range(31):
        doubts.sweep(NOW + minute * MINUTE)
        deliver(NOW + minute * MINUTE)
    settings.EMAIL_URL = url
    for minute in range(31, 37):
        doubts.sweep(NOW + minute * MINUTE)
        deliver(NOW + minute * MINUTE)
    assert states() == {"accepted": 30}
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}


def test_a_server_that_is_away_past_the_days_end_costs_the_day_and_none_of_its_papers(
    server, settings
):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    for number in range(5):
        make.subscriber(f"reader-{number}@example.org", interests="graphs")
    for number in range(3):
        make.paper(f"Graphs, part {number}")
    planning.plan(NOW)
    lost = set(Pick.objects.values_list("subscriber_id", "paper_id"))
    assert len(lost) == 15
    for hour in range(24):
        doubts.sweep(NOW + timedelta(hours=hour))
        deliver(NOW + timedelta(hours=hour))
    assert states() == {"missed": 5}
    missed = [letter.events.filter(became="missed").count() for letter in Letter.objects.all()]
    assert missed == [1] * 5
    assert not Pick.objects.exists()

    settings.EMAIL_URL = url
    planning.plan(NOW + timedelta(days=1))
    assert set(Pick.objects.values_list("subscriber_id", "paper_id")) == lost
    assert deliver(NOW + timedelta(days=1))["accepted"] == 5


# ---- Providers (fault 26)


def test_a_provider_that_wants_us_slower_is_paced_and_the_others_are_not(server, monkeypatch):
    digests(count=40, domain="gmail.com")
    digests(count=20, domain="example.org")
    taken = []
    takes = [5]

    def limit(stage, whom, conversation):
        if stage == "rcpt" and whom.endswith("@gmail.com"):
            if len(taken) >= takes[0]:
                return b"450 4.7.1 rate limit exceeded, try later\r\n"
            taken.append(whom)

    server.says = limit
    deliver()
    assert len([one for one in recipients(server) if one.endswith("@example.org")]) == 20
    assert len(taken) == 5
    row = Provider.objects.get()
    assert (row.name, row.complaints) == ("google", 1)
    assert NOW + MINUTE <= row.held_until <= NOW + 1.1 * MINUTE

    offered = sum(line.startswith(b"MAIL") for line in server.heard)
    deliver(NOW + 0.5 * MINUTE)  # It is left alone meanwhile.
    assert sum(line.startswith(b"MAIL") for line in server.heard) == offered

    takes[0], arrivals, now = 1_000, [], row.held_until
    while Letter.objects.open().exists():
        before = len(taken)
        deliver(now)
        arrivals.append(len(taken) - before)
        now += timedelta(seconds=5)
        assert now < NOW + timedelta(hours=1)
    assert states() == {"accepted": 60}
    assert max(arrivals) <= 60  # A minute's worth of sixty a minute.
    assert len(arrivals) >= 4
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert not Letter.objects.exclude(stumbles=0).exists()


def test_a_provider_gets_no_more_than_the_operator_says(server, settings):
    settings.PROVIDER_RATES = {"google": 30.0}
    digests(count=20, domain="gmail.com")
    digests(count=10, domain="example.org")
    deliver()
    assert len([one for one in recipients(server) if one.endswith("@example.org")]) == 10
    assert 1 <= len([one for one in recipients(server) if one.endswith("@gmail.com")]) <= 3
    seconds = 0
    while Letter.objects.open().exists():
        seconds += 5
        deliver(NOW + timedelta(seconds=seconds))
        taken = len([one for one in recipients(server) if one.endswith("@gmail.com")])
        assert taken <= 5 + seconds / 2
        assert seconds < 300
    assert seconds >= 30


def test_providers_are_thanked_after_those_are_locked_that_a_claim_counts(server, monkeypatch):
    """Else two workers wait for each other in a circle: thanking skips what others have locked,
    counting waits for it.
    """
    Provider.objects.create(name="google", pace=3_000, faster_at=NOW, counted_at=NOW)
    digests(count=60, domain="gmail.com")
    order = []

    def watch(module, name):
        function = getattr(module, name)

        def watched(*args, **kwargs):
            order.append(name)
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    watch(providers, "allot")
    watch(providers, "thank")
    watch(delivery.Round, "_settle")
    deliver(NOW + MINUTE)
    settlements = " ".join(order).split("_settle")
    assert any("thank" in one and "allot" in one for one in settlements)
    assert not any("thank allot" in one for one in settlements)


def test_a_provider_that_complains_is_left_alone_at_once(server):
    """At most what was under way is refused besides, though hundreds wait."""
    digests(count=300, domain="gmail.com")
    refused = []

    def limit(stage, whom, conversation):
        if stage == "rcpt":
            refused.append(whom)
            return b"450 4.7.1 rate limit exceeded, try later\r\n"

    server.says = limit
    deliver()
    assert len(refused) <= 40  # Twice as many as there are lines, twice.
    assert Provider.objects.get().complaints == 1


def run_together(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


# ---- What can't be written


@pytest.mark.parametrize(
    ("what", "state", "reason"),
    [
        (RuntimeError("a template breaks"), "planned", ""),
        (mail.NothingToSay(), "skipped", "nothing to say"),
        (ImproperlyConfigured("a setting is missing"), "planned", ""),
        ("Two\r\nBcc: lines@example.org", "planned", ""),
        ("A bell \x07", "planned", ""),
        ("A half \ud800", "planned", ""),
    ],
)
def test_a_letter_that_cannot_be_written_costs_itself_alone(server, written, what, state, reason):
    if isinstance(what, str):
        what = mail.Content.of(what, "Hello.", "<p>Hello.</p>", mail.headers("digest", "http://x/"))
    written[ODD] = what
    letter = digests(ODD)
    assert deliver()["accepted"] == len(server.accepted) == MANY
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == (state, reason)
    is_its_own_fault = state == "planned" and not isinstance(what, ImproperlyConfigured)
    assert letter.stumbles == (1 if is_its_own_fault else 0)


def test_letters_that_a_setting_keeps_from_being_written_wait_however_often(server, written):
    written["all"] = ImproperlyConfigured("DKIM_KEY_FILE holds no key")
    digests(count=5)
    now = NOW
    for _ in range(ledger.MAX_STUMBLES + 2):
        deliver(now)
        now += timedelta(minutes=80)
    assert set(Letter.objects.values_list("state", "stumbles")) == {("planned", 0)}
    written.clear()
    assert deliver(now)["accepted"] == 5


# ---- The switch


def test_a_stop_between_claim_and_fence_lets_no_dot_out_and_all_leave_once_it_is_undone(
    server, written
):
    digests(count=30)
    written["all"] = lambda letter: sending.stop("Ada", NOW)

    deliver()

    assert server.accepted == []
    assert set(Letter.objects.values_list("state", "stumbles")) == {("planned", 0)}
    assert not Letter.objects.filter(events__became="transmitting").exists()
    deliver(NOW + MINUTE)
    assert server.accepted == []

    written.clear()
    sending.resume("Ada")
    assert deliver(NOW + MINUTE)["accepted"] == 30
    assert len(set(recipients(server))) == len(server.accepted) == 30


def test_a_stop_amid_a_round_ends_it_with_what_is_past_the_fence(server):
    digests(count=60)
    stopped = []
    fence = ledger.fence

    def fence_and_stop(*args):
        fenced = fence(*args)
        if not stopped:
            stopped.append(len(fenced.passed))
            sending.stop("Ada", NOW)
        return fenced

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "fence", fence_and_stop)
        deliver()
    assert len(server.accepted) == stopped[0] < 60
    assert states() == {"accepted": stopped[0], "planned": 60 - stopped[0]}
    sending.resume("Ada")
    deliver(NOW + MINUTE)
    assert len(set(recipients(server))) == len(server.accepted) == 60


# ---- A reader's row that somebody holds


@contextmanager
def held(reader, seconds):
    """Hold a reader's row on another connection, as a form that is being saved does."""
    is_held, free = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Subscriber.objects.select_for_update().get(pk=reader.pk)
            is_held.set()
            free.wait(seconds)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(10)
    yield free
    free.set()
    thread.join(10)


@pytest.mark.django_db(transaction=True)
def test_a_reader_whose_row_is_held_waits_at_the_fence_and_the_others_pass(server, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks no rows")
    letter = digests("held@elsewhere.example")
    turns = []
    fence = ledger.fence
    monkeypatch.setattr(
        ledger, "fence", lambda *args: turns.append(letter in args[0]) or fence(*args)
    )
    taken = []

    with held(letter.subscriber, seconds=10) as free:

        def let_go_after_the_others(recipient):
            taken.append(recipient)
            if len(taken) == MANY:
                threading.Timer(1.0, free.set).start()

        server.before_dot_reply = let_go_after_the_others
        deliver()

    assert states() == {"accepted": MANY + 1}
    assert taken[-1] == "held@elsewhere.example"
    letter.refresh_from_db()
    assert letter.attempt == 1
    assert sum(turns) <= 20  # It is looked at again now and then, not all the time.


# ---- Leaving (fault 57): only what is past the fence may still arrive, and the page says so

ON_ITS_WAY = "1 letter had already left and may still arrive"


def leave(client, letter):
    """Leave by the link in the letter. Return whether the page says that one is on its way."""
    response = client.post(
        f"/unsubscribe/{links.token('unsubscribe', letter.subscriber.public_id)}/"
    )
    assert response.status_code == 200
    return ON_ITS_WAY in response.content.decode()


def digests_taken(server, email):
    """Return how many digests the server took for somebody; a goodbye is none."""
    return sum(to == email and b"\r\nSubject: Papers\r\n" in mime for to, mime in server.accepted)


def test_who_leaves_while_her_letter_waits_is_sent_none(server, client):
    letter = digests(ODD)
    assert leave(client, letter) is False
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", "unsubscribed")
    deliver()
    assert digests_taken(server, ODD) == 0
    assert states() == {"accepted": MANY, "skipped": 1}


def test_who_leaves_while_her_letter_is_written_is_sent_none(server, client, written):
    letter = digests(ODD)
    said = []
    written[ODD] = lambda letter: said.append(leave(client, letter))
    deliver()
    assert said == [False]
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", "unsubscribed")
    assert "transmitting" not in letter.events.values_list("became", flat=True)
    assert digests_taken(server, ODD) == 0
    assert states() == {"accepted": MANY, "skipped": 1}


def test_an_address_that_turns_out_to_be_none_while_a_letter_is_written_gets_no_dot(
    server, written
):
    letter = digests(ODD)
    written[ODD] = lambda letter: suppression.suppress_bounced(
        letter.subscriber_id, "550 5.1.1 no such user", NOW
    )
    deliver()
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", "suppressed")
    assert digests_taken(server, ODD) == 0
    assert states() == {"accepted": MANY, "skipped": 1}


def test_who_leaves_just_before_the_fence_is_sent_no_dot(server, client, monkeypatch):
    letter = digests(ODD)
    said = []
    fence = ledger.fence

    def leave_and_pass(letters, *args):
        if letter in letters:
            said.append(leave(client, letter))
        return fence(letters, *args)

    monkeypatch.setattr(ledger, "fence", leave_and_pass)
    deliver()
    assert said == [False]
    assert digests_taken(server, ODD) == 0
    assert states() == {"accepted": MANY, "skipped": 1}


def test_who_leaves_just_past_the_fence_is_told_that_one_may_still_arrive(
    server, client, monkeypatch
):
    letter = digests(ODD)
    said = []
    send_dots = delivery.Round._send_dots

    def leave_and_send(round_):
        if letter in [one.letter for one in round_.past_fence]:
            said.append(leave(client, letter))
        send_dots(round_)

    monkeypatch.setattr(delivery.Round, "_send_dots", leave_and_send)
    deliver()
    assert said == [True]
    assert digests_taken(server, ODD) == 1
    assert states() == {"accepted": MANY + 1}


def test_who_leaves_while_her_letter_waits_for_another_try_is_sent_none(server, client):
    letter = digests(ODD)
    server.says = to_one(ODD, "rcpt", b"450 4.2.1 busy\r\n")
    deliver()
    assert leave(client, letter) is False
    server.says = lambda *told: None
    deliver(NOW + timedelta(hours=1))
    assert digests_taken(server, ODD) == 0
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", "unsubscribed")


def test_who_leaves_while_nobody_knows_of_her_letter_is_told_and_sent_no_second(server, client):
    letter = digests("drop-dot@elsewhere.example")
    dots = []
    server.before_dot_reply = dots.append
    deliver()
    assert leave(client, letter) is True
    doubts.sweep(NOW + timedelta(hours=1))
    deliver(NOW + timedelta(hours=1))
    letter.refresh_from_db()
    assert letter.state == "failed"
    goodbyes = Letter.objects.filter(kind="goodbye", events__became="transmitting").count()
    assert dots.count("drop-dot@elsewhere.example") == 1 + goodbyes


@pytest.mark.django_db(transaction=True)
def test_who_leaves_while_the_fence_holds_her_row_waits_and_is_told_the_truth(
    server, client, monkeypatch
):
    """Her click comes between the fence's UPDATE and its COMMIT."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks no rows")
    letter = digests(ODD)
    said, began = [], threading.Event()

    def click():
        began.set()
        said.append(leave(client, letter))
        connection.close()

    thread = threading.Thread(target=click)
    fence = ledger.fence

    def pass_and_wait(letters, *args):
        fenced = fence(letters, *args)
        if letter in fenced.passed:
            thread.start()
            began.wait(5)
            thread.join(0.3)
            assert said == []  # She waits for the lock.
        return fenced

    monkeypatch.setattr(ledger, "fence", pass_and_wait)
    deliver()
    thread.join(30)
    assert said == [True]
    assert digests_taken(server, ODD) == 1


@pytest.mark.django_db(transaction=True)
def test_people_who_leave_all_through_a_round_get_no_dot_after_their_answer(server):
    """A race: on SQLite its orders are few, on PostgreSQL many."""
    digests(count=40)
    dots, answered, broken = {}, {}, []
    server.before_dot_reply = lambda recipient: dots.setdefault(recipient, time.monotonic())
    together = threading.Barrier(5)
    readers = list(Subscriber.objects.order_by("pk"))

    def leave_one_by_one(mine):
        try:
            together.wait(10)
            for reader in mine:
                time.sleep(0.003)
                left = signup.unsubscribe(reader.public_id, door=DOOR, now=NOW)
                answered[reader.email] = (left, time.monotonic())
        except Exception as error:
            broken.append(error)
        finally:
            connection.close()

    def work():
        together.wait(10)
        deliver(ids=[letter.pk for letter in Letter.objects.filter(kind="digest")])
        connection.close()

    leaving = [readers[place::4] for place in range(4)]
    run_together(
        [threading.Thread(target=work)]
        + [threading.Thread(target=leave_one_by_one, args=(mine,)) for mine in leaving]
    )
    assert broken == []
    assert len(answered) == 40
    late = [email for email, (left, at) in answered.items() if not left and dots.get(email, 0) > at]
    assert late == []
    assert not Letter.objects.filter(kind="digest").open().exists()


# ---- Papers whose transaction ends late (fault 48)


@pytest.mark.django_db(transaction=True)
def test_a_paper_that_is_committed_late_is_in_the_next_digest_once():
    """Rows become visible in another order than they were numbered in."""
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite, writers come one after the other")
    make.subscriber("reader@example.org", interests="graphs")
    stored, commit = threading.Event(), threading.Event()

    def store_slowly():
        with transaction.atomic():
            make.paper("Graphs, told of first", id="2606.00001")
            stored.set()
            commit.wait(30)
        connection.close()

    thread = threading.Thread(target=store_slowly)
    thread.start()
    assert stored.wait(10)
    make.paper("Graphs, told of second", id="2606.00002")
    planning.plan(NOW)
    assert list(Pick.objects.values_list("paper_id", flat=True)) == ["2606.00002"]
    commit.set()
    thread.join(30)
    for day in (1, 2):
        planning.plan(NOW + timedelta(days=day))
    picks = Pick.objects.order_by("digest__day").values_list("digest__day", "paper_id")
    assert list(picks) == [
        (NOW.date(), "2606.00002"),
        ((NOW + timedelta(days=1)).date(), "2606.00001"),
    ]
