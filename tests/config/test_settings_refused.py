"""What is refused as a process starts, before anything is lost to it."""

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.transports.esps import ESPS, esp_of
from subscriptions.delivery.transports.registry import transport_for
from tests.config.environment import manage

NO_NUMBER = "EMAIL_URL holds a port that is no number."
HUSH = "smtp://you:hush"
LINKS = "SITE_URL must be written as links are (an intern"
DELIMITER = "RECIPIENT_DELIMITER must be one sign, such as + or -, or"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("file:///srv/letters", "EMAIL_URL=file: takes no path: letters become files in outbox/"),
        ("gopher:", "EMAIL_URL is no transport of ours."),
        ("mail.example.org:25", "EMAIL_URL is no transport of ours."),
        ("smtp:", "EMAIL_URL names no host: smtp://host:port."),
        ("smtp://mail.example.org:mail", NO_NUMBER),
        (f"{HUSH}#1@mail.example.org", f"{NO_NUMBER} What is"),
        (f"{HUSH}[1@mail.example.org", f"{NO_NUMBER} What is"),
        ("smtp://you:25#1@mail.example.org", "EMAIL_URL holds more than a host and a port. What"),
        (f"{HUSH}@x.org:25?tls=maybe", "EMAIL_URL: tls must be none, starttls or implicit, not"),
        ("smtp://x.org?tsl=starttls", "EMAIL_URL knows tls and connections behind its ?, not tsl."),
    ],
)
def test_a_mail_server_that_makes_no_sense_is_refused_with_a_sentence(url, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for(url)
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("esp", ESPS.values(), ids=ESPS)
def test_a_providers_api_is_refused_with_the_line_to_write_instead(esp):
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for(f"{esp.name}://hush@example.org")
    assert f"EMAIL_URL={esp.email_url}," in str(refused.value)
    assert "hush" not in str(refused.value)
    assert transport_for(esp.email_url).server.tls == "starttls"
    assert esp_of(esp.email_url) is esp


@pytest.mark.parametrize("name", ["DKIM_KEY_FILE", "DKIM_SELECTOR"])
def test_a_variable_that_is_gone_is_refused_with_what_to_do(read_settings, name):
    with pytest.raises(ImproperlyConfigured, match=f"^{name} is no longer read. Take it away"):
        read_settings(**{name: "x"})
    read_settings(**{name: ""})


@pytest.mark.slow
def test_what_makes_no_sense_is_refused_before_anything_is_lost_to_it(data_dir):
    refused = manage("check", DATA_DIR=str(data_dir), EMAIL_URL="gopher:")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Settings: EMAIL_URL is no transport of ours.")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ORACLE", "postfix", "ORACLE is 'postfix', which is no oracle of ours. It may be empty,"),
        ("TRANSACTIONAL_FROM_EMAIL", "hello", "TRANSACTIONAL_FROM_EMAIL: 'hello' is no address"),
        ("REPLY_TO_EMAIL", "me@x.org, you@x.org", "REPLY_TO_EMAIL: 'me@x.org, you@x.org' is no"),
        ("BOUNCE_ADDRESS", "returned@", "BOUNCE_ADDRESS: 'returned@' is no address that letters"),
        ("BOUNCE_ADDRESS", "re turned@x.org", "BOUNCE_ADDRESS: 're turned@x.org' is no address"),
        ("RECIPIENT_DELIMITER", "@", DELIMITER),
        ("RECIPIENT_DELIMITER", "++", DELIMITER),
        ("BOUNCE_MAILBOX", "imaps://me:hush@x:port/INBOX", "BOUNCE_MAILBOX holds a port that is"),
        ("SITE_URL", "https://bücher.example", LINKS),
        ("SITE_URL", 'https://a.example"><x', LINKS),
        ("DEFAULT_FROM_EMAIL", "d@bücher.example", "DEFAULT_FROM_EMAIL: 'd@bücher.example' is no"),
        ("DEFAULT_FROM_EMAIL", "Foo <foo bar@b.example>", "DEFAULT_FROM_EMAIL: 'Foo <foo bar@b"),
        ("RANKING", "ct=4", "RANKING: ct is no setting; there are cut, duplicate, learned,"),
        ("RANKING", "cut=20", "RANKING: cut must be a number from 0 to 10, not 20.0."),
        ("SOURCES", "arxiv,pubmed", "SOURCES names pubmed; there are arxiv, huggingface,"),
        ("ARXIV_CATEGORIES", "cs,cs.lg", "ARXIV_CATEGORIES names cs.lg, which arXiv has not: did"),
        ("ARXIV_CATEGORIES", "bread", "ARXIV_CATEGORIES names bread, which arXiv has not: they"),
    ],
)
def test_what_no_letter_could_be_made_or_leave_or_come_back_with_is_refused_at_the_start(
    read_settings, settings, name, value, sentence
):
    given = {"SECRET_KEY": "k" * 32, "ALLOWED_HOSTS": "*", name: value}
    setattr(settings, name, read_settings(**given)[name])
    with pytest.raises(ImproperlyConfigured) as refused:
        start()
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


def start():
    """Start our apps, as each process does."""
    for room in ("subscriptions", "digest"):
        apps.get_app_config(room).ready()
