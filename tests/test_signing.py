"""Letters that are signed with DKIM, and whether receivers believe them after the journey."""

import base64
import os
import re
import smtplib
import subprocess
import sys
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.core.exceptions import ImproperlyConfigured

from subscriptions import mail, registry
from subscriptions.models import Letter, Subscriber
from subscriptions.post import dns_records, signing, writing
from subscriptions.post.line import Envelope
from subscriptions.post.lines import hand_over
from subscriptions.post.transports import transport_for
from tests.make import NOW
from tests.smtp_server import MailServer

ROOT = Path(__file__).resolve().parent.parent
PKCS1 = serialization.PrivateFormat.TraditionalOpenSSL
PKCS8 = serialization.PrivateFormat.PKCS8
LOCKED = serialization.BestAvailableEncryption(b"a passphrase")
SHORT = b"""-----BEGIN RSA PRIVATE KEY-----
MIIBPAIBAAJBALqvTQ66TOIoYChPZI11kZTQPManw2DfPL41/9WGsKD8EKZV89NV
83X9XOWlxDibby0aF5eKoPvIytD4Wekpj0sCAwEAAQJBAI0GiIurqRDft2Q8NZW3
TvbAKGlZqnqvqU93s4A2c4/oELL6XWWm21RxzvrZSxksRYkcobUDWxJ/oBtFJpNQ
VuECIQDgfUd21vr1DUqruE4dBpM1YWhJT6OB/N2JcdOOWXNkrwIhANTjkJXuFR6o
gDTi6/GktHGH12TT53OaPQD9Uyh4KJ4lAiEA0aIr6j43fD89S76As3pAXcjoqg1E
k06fUoqJFJVTvOECIDfyYgH04pn/AEplxEnp1f3sDCAUTEQmKZgD+wGsqkf9AiEA
zzeHfyK2s8wbmcjuPUBPK69AgzRKHIZyL4+d/cbFarE=
-----END RSA PRIVATE KEY-----
"""


def pem(key, form=PKCS8, lock=None):
    lock = lock or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, lock)


RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
FIRST, *LINES, LAST = pem(RSA).splitlines(keepends=True)
TRUNCATED = FIRST, *LINES[:10], LAST


@pytest.fixture
def key_file(settings, tmp_path):
    """The operator's key, an RSA one until a test writes another into it."""
    settings.DKIM_DOMAIN = "papers.example.org"
    settings.DKIM_KEY_FILE = str(tmp_path / "dkim.pem")
    file = Path(settings.DKIM_KEY_FILE)
    file.write_bytes(pem(RSA))
    return file


def letter(**headers):
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    told = {
        "From": "Paperboy <digest@papers.example.org>",
        "To": "reader@example.org",
        "Subject": "Graph neural networks, and nine more papers that are new to you today: enjoy",
        "Date": "Mon, 05 Jan 2026 07:00:00 +0000",
        "Message-ID": "<digest.1@papers.example.org>",
        "List-Id": "Daily papers <daily.papers.example.org>",
        "List-Unsubscribe": f"<https://papers.example.org/unsubscribe/{'t' * 60}/>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    for name, value in (told | headers).items():
        message[name] = value
    message.set_content("1. Graphs\n\n-- \nPaperboy\n", cte="quoted-printable")
    message.add_alternative("<p>Graphs</p>\n" * 20, subtype="html", cte="quoted-printable")
    message.set_boundary("=_1")
    return message.as_bytes()


def is_believed(mime):
    """Return whether a receiver believes the letter, where DNS holds what the doctor prints."""
    record = dns_records.dkim(signing.current_key())
    zone = {f"{record.name}.".encode(): record.text.encode()}
    return dkim.verify(mime, dnsfunc=lambda name, timeout: zone.get(name))


def tags(mime):
    """Return the tags of the signature on top of the letter."""
    name, _, value = re.sub(rb"\r\n[ \t]+", b" ", mime).partition(b"\r\n")[0].partition(b":")
    assert name == b"DKIM-Signature"
    pairs = (pair.partition(b"=") for pair in value.split(b";"))
    return {tag.strip().decode(): text.strip().decode() for tag, _, text in pairs}


# ---- The signature


@pytest.mark.parametrize(
    "key", [pem(RSA), pem(RSA, PKCS1), pem(RSA).replace(b"\n", b"\r\n"), pem(ED25519)]
)
def test_a_signed_letter_is_believed_by_what_the_doctor_says_to_publish(key_file, key):
    key_file.write_bytes(key)
    signed = signing.sign(letter())
    assert signed.endswith(letter())
    assert is_believed(signed)


def test_the_signature_covers_what_she_sees_and_what_unsubscribes_her(key_file):
    signed = tags(signing.sign(letter(**{"Reply-To": "editor@papers.example.org"})))
    names = [name.strip() for name in signed["h"].split(":")]
    for name in ("to", "subject", "date", "message-id", "mime-version", "content-type", "list-id"):
        assert names.count(name) == 1
    for name in ("list-unsubscribe", "list-unsubscribe-post", "reply-to", "auto-submitted"):
        assert names.count(name) == 1
    assert names.count("from") == 2
    assert not {"x-auto-response-suppress", "feedback-id"} & set(names)


def test_the_signature_is_relaxed_of_the_whole_body_and_knows_no_clock(key_file, settings):
    settings.DKIM_SELECTOR = "january"
    signed = tags(signing.sign(letter()))
    assert (signed["c"], signed["d"], signed["s"]) == (
        "relaxed/relaxed",
        "papers.example.org",
        "january",
    )
    assert signed["a"] == "rsa-sha256"
    assert not {"l", "t", "x"} & set(signed)


@pytest.mark.parametrize("key", [pem(RSA), pem(ED25519)])
def test_a_repeat_has_the_same_bytes_at_another_time(key_file, monkeypatch, key):
    key_file.write_bytes(key)
    first = signing.sign(letter())
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)
    assert signing.sign(letter()) == first


def test_the_signature_has_lines_that_mail_can_carry(key_file):
    header = signing.sign(letter()).removesuffix(letter())
    lines = header.split(b"\r\n")
    assert lines.pop() == b""
    assert all(b"\n" not in line and len(line) <= 78 for line in lines)


def test_a_letter_stays_as_it_is_where_there_is_no_key():
    assert signing.sign(letter()) == letter()


# ---- The journey


@pytest.fixture
def journey():
    """Return a function that sends a letter through a relay, and returns what arrived."""
    with MailServer() as relay, MailServer() as last:

        def send(mime, rewritten):
            envelope = Envelope("digest@papers.example.org", "reader@example.org", "digest", 1, NOW)
            hand_over(transport_for(relay.url), envelope, mime)
            ((recipient, kept),) = relay.accepted
            with smtplib.SMTP(*last.server_address) as client:
                client.sendmail(envelope.sender, recipient, rewritten(kept))
            ((_, arrived),) = last.accepted
            return arrived

        yield send
        relay.shutdown()
        last.shutdown()


def folded_anew(mime):
    """Fold the headers elsewhere, with tabs; put trace headers on top and blanks at line ends."""
    head, _, body = mime.partition(b"\r\n\r\n")
    lines = [fold(line) for line in re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")]
    received = b"Received: from papers.example.org by relay.example.net;\r\n\tMon, 5 Jan 2026 07:00"
    trailing = body.replace(b"\r\n", b" \t\r\n") + b"\r\n\r\n"
    return b"\r\n".join([received, *lines, b"X-Scanned: yes", b"", trailing])


def fold(line):
    folded = b""
    for word in line.split(b" "):
        last = folded.rpartition(b"\r\n")[2]
        glue = b"\r\n\t" if len(last) + len(word) > 40 and b":" in folded else b"  "
        folded = folded + glue + word if folded else word
    return folded


@pytest.mark.parametrize("key", [pem(RSA), pem(ED25519)])
def test_a_letter_is_believed_after_a_relay_has_folded_it_anew(key_file, journey, key):
    key_file.write_bytes(key)
    signed = signing.sign(letter())
    arrived = journey(signed, folded_anew)
    assert signed not in arrived
    assert b"Received:" in arrived
    assert is_believed(arrived)


@pytest.mark.parametrize(
    ("was", "became"),
    [
        (b"1. Graphs", b"1. Grapes"),
        (b"nine more", b"many more"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"/unsubscribe/", b"/subscribe/"),
        (b"From: Paperboy", b"From: You <you@example.org>\r\nFrom: Paperboy"),
        (b"</p>\r\n\r\n--", b"</p>\r\n\r\n<p>And this</p>\r\n\r\n--"),
    ],
)
def test_a_letter_that_was_changed_on_the_way_is_not_believed(key_file, journey, was, became):
    signed = signing.sign(letter())
    assert was in signed
    arrived = journey(signed, lambda mime: mime.replace(was, became))
    assert arrived != signed
    assert not is_believed(arrived)


# ---- The key


def test_the_public_half_is_the_one_that_others_derive(key_file):
    der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    assert base64.b64decode(signing.current_key().public) == RSA.public_key().public_bytes(
        der, spki
    )


def test_a_key_is_read_anew_when_its_file_has_changed_and_only_then(key_file):
    first = signing.sign(letter())
    moment = key_file.stat().st_mtime_ns
    key_file.write_bytes(pem(ED25519))
    os.utime(key_file, ns=(moment, moment))
    assert signing.sign(letter()) == first
    os.utime(key_file, ns=(moment, moment + 1))
    assert tags(signing.sign(letter()))["a"] == "ed25519-sha256"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no private key in PEM"),
        (b"sesame", "holds no private key in PEM"),
        (
            RSA.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
            "holds no private key in PEM",
        ),
        (b"".join(TRUNCATED), "neither RSA nor Ed25519, or is damaged"),
        (pem(RSA).replace(b"MII", b"MI"), "is damaged"),
        (pem(ED25519).replace(b"MC4CAQ", b"MC4CAg"), "neither RSA nor Ed25519"),
        (pem(RSA, PKCS8, LOCKED), "is locked with a passphrase"),
        (pem(RSA, PKCS1, LOCKED), "is locked with a passphrase"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "neither RSA nor Ed25519"),
        (pem(ED25519, serialization.PrivateFormat.OpenSSH), "neither RSA nor Ed25519"),
        (SHORT, "holds an RSA key of 512 bits, and receivers believe none under 1024"),
    ],
)
def test_a_file_that_holds_no_key_for_us_is_refused_with_what_to_do(key_file, content, why):
    key_file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured) as refused:
        signing.check()
    said = str(refused.value)
    assert said.startswith(f"DKIM_KEY_FILE: {key_file} ")
    assert why in said
    assert "openssl genrsa" in said


def test_a_key_file_that_is_missing_or_a_folder_is_refused(key_file, tmp_path, settings):
    key_file.unlink()
    with pytest.raises(ImproperlyConfigured, match="can't be read: No such file"):
        signing.check()
    settings.DKIM_KEY_FILE = str(tmp_path)
    with pytest.raises(ImproperlyConfigured, match="can't be read: Is a directory"):
        signing.check()


@pytest.mark.parametrize("name", ["DKIM_SELECTOR", "DKIM_DOMAIN"])
@pytest.mark.parametrize("value", ["", "a b", "a;b=c", "a\r\nb", "büch.example", ".a", "a..b"])
def test_a_name_that_dns_cannot_have_is_refused(key_file, settings, name, value):
    setattr(settings, name, value)
    with pytest.raises(ImproperlyConfigured, match=f"^{name} must be a name as DNS has them"):
        signing.check()


def test_no_key_is_told_to_anybody(key_file):
    key = signing.current_key()
    assert key.private.decode() not in repr(key)
    assert "private" not in repr(key)


def test_every_command_is_refused_where_the_key_cannot_sign(tmp_path):
    refused = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(tmp_path),
            "DKIM_KEY_FILE": str(tmp_path / "none.pem"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "none.pem can't be read: No such file or directory. Make a key" in refused.stderr


def test_a_letter_that_is_signed_is_handed_out_before_the_next_is_signed(key_file, monkeypatch):
    """Ten signatures take a tenth of a second, for which all lines would wait."""
    content = mail.Content.of("Papers", "Hello.\n", "<p>Hello.</p>", mail.headers("digest", "x"))
    monkeypatch.setitem(registry.composers, "digest", lambda some, now: iter([content] * len(some)))
    signed, sign = [], signing.sign
    monkeypatch.setattr(signing, "sign", lambda mime: signed.append(mime) or sign(mime))
    reader = Subscriber(email="reader@example.org")
    letters = [Letter(kind="digest", day=NOW.date(), subscriber=reader) for _ in range(3)]
    written = writing.write_out(letters, NOW)
    for count, ((_, made),) in enumerate(filter(None, written), start=1):
        assert made.mime.startswith(b"DKIM-Signature")
        assert len(signed) == count
