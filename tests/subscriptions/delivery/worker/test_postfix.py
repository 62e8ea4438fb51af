"""A due day through a real Postfix, which greylists, hangs up, has a full disk or no good name."""

import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress

import pytest

from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter
from tests.factories.make import MINUTE, NOW
from tests.helpers import data_files, services
from tests.servers.postfix import Postfix, wait_until
from tests.servers.smtp import MailServer
from tests.subscriptions.delivery.worker import due_digests

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.django_db]

CERTIFICATE = data_files.DATA / "mail_server.pem"
COUNTS = [150, pytest.param(2_000, marks=pytest.mark.nightly)]


@contextmanager
def postfix_with(settings, *, relay=None, **parameters):
    """Start a Postfix with these parameters, to which emails go over ten connections."""
    services.require("postfix")
    with Postfix(relay=relay, **parameters) as postfix:
        settings.EMAIL_URL = f"{postfix.url}?connections=10"
        yield postfix


class Policy:
    """A policy service: `decide(recipient, how often asked)` returns Postfix's action."""

    def __init__(self, decide):
        self.decide, self.asked = decide, Counter()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"inet:127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            recipient = ""
            for line in lines:
                name, _, value = line.decode().strip().partition("=")
                recipient = value if name == "recipient" else recipient
                if not name:
                    self.asked[recipient] += 1
                    action = self.decide(recipient, self.asked[recipient])
                    connection.sendall(f"action={action}\n\n".encode())


@pytest.mark.parametrize("count", COUNTS)
def test_accepted_emails_are_delivered_despite_greylisting_and_421(settings, count):
    def decide(recipient, times):
        name, _, number = recipient.partition("@")[0].partition("-")
        if times > 1:
            return "dunno"
        if name == "early":
            return "451 4.7.1 Greylisted, come back later"
        return "421 4.3.2 Shutting down" if int(number) % 50 == 7 else "dunno"

    policy = Policy(decide)
    due_digests.digests(count=count)
    with MailServer() as sink:
        restrictions = f"check_policy_service {policy.url}, permit"
        port = sink.server_address[1]
        with postfix_with(settings, relay=port, smtpd_recipient_restrictions=restrictions):
            for minutes in range(0, 60, 2):
                due_digests.deliver(NOW + minutes * MINUTE)
            assert due_digests.states() == {"accepted": count}
            wait_until(lambda: len(sink.accepted) >= count, 120)
            recipients = due_digests.recipients(sink)
    assert len(set(recipients)) == len(recipients) == count
    assert not Letter.objects.exclude(repeats=0).exists()


def test_full_disk_of_postfix_delays_all_and_loses_none(settings):
    due_digests.digests(count=30)
    with postfix_with(settings, queue_minfree=str(10**15)) as postfix:
        due_digests.deliver()
        assert due_digests.states() == {"planned": 30}
        assert circuit_breaker.current().reply == "452 4.3.1 Insufficient system storage"
        postfix.configure(queue_minfree="0")
        for minutes in range(2, 12, 2):  # Its servers read that one after the other.
            time.sleep(0.5)
            due_digests.deliver(NOW + minutes * MINUTE)
    assert due_digests.states() == {"accepted": 30}


def test_untrusted_certificate_of_postfix_gets_nothing(settings):
    due_digests.digests(count=5)
    tls = {"smtpd_tls_cert_file": str(CERTIFICATE), "smtpd_tls_security_level": "may"}
    with postfix_with(settings, **tls) as postfix:
        settings.EMAIL_URL += "&tls=starttls"
        due_digests.deliver()
        assert circuit_breaker.current().trouble == "tls"
        assert due_digests.states() == {"planned": 5}
        settings.EMAIL_URL = postfix.url
        due_digests.deliver(NOW + 2 * MINUTE)
    assert due_digests.states() == {"accepted": 5}
