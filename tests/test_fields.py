"""Installations of five fields, from nothing to the first digest by the panel alone."""

import re
from contextlib import ExitStack
from itertools import cycle
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from digest.admin import sources
from digest.models import Digest, Harvest, SourceConfig
from digest.operations import upgrade
from digest.papers import harvest, registry
from digest.sources.arxiv.source import ArXiv
from digest.sources.biorxiv.source import BioRxiv
from digest.sources.europepmc import EuropePmc
from digest.sources.huggingface import HuggingFace
from digest.sources.journals import Journal
from tests.factories.make import NOW, TODAY, YESTERDAY
from tests.helpers import data_files
from tests.helpers.pages import text_of
from tests.servers.arxiv import ArxivServer
from tests.servers.daily_lists import BioRxivServer, HuggingFaceServer
from tests.servers.europepmc import EuropePmcServer
from tests.servers.journals import FORMATS, JournalServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

AUTHORS = ["Ada Roe", "Kay Doe"]
MORE = "The article has the methods and all figures in full."
FIELDS = data_files.load("fields.toml")
OTHERS = FIELDS.pop("others")


def papers_of(field):
    return [line.split(": ") for line in field["papers"].splitlines()]


class World:
    """The servers of all sources. Only addresses and pace of the real sources are changed."""

    def __init__(self, stack, monkeypatch):
        def started(make):
            return stack.enter_context(make())

        self.journals = [started(lambda kind=kind: JournalServer(kind)) for kind in FORMATS]
        self.epmc = started(lambda: EuropePmcServer(today=TODAY))
        self.biorxiv = started(lambda: BioRxivServer(today=TODAY))
        self.arxiv = started(lambda: ArxivServer({TODAY: []}, today=TODAY))
        huggingface = started(lambda: HuggingFaceServer(today=TODAY))
        patch = monkeypatch.setattr
        for source in (ArXiv, BioRxiv, EuropePmc, HuggingFace, Journal):
            patch(source, "seconds_between", 0.0)
        patch(EuropePmc.__init__, "__defaults__", (self.epmc.base,))
        patch(HuggingFace.__init__, "__defaults__", (huggingface.base,))
        patch(BioRxiv.__init__, "__defaults__", ("biorxiv", self.biorxiv.base))
        patch(ArXiv.__init__, "__kwdefaults__", self.arxiv.addresses)
        patch(Journal.__init__, "__kwdefaults__", {"crossref": self.journals[0].base})

    def add(self, source, number, title, abstract):
        texts = {"title": title, "abstract": abstract}
        match source:
            case "arxiv":
                fields = {"id": f"2606.{number:05}", "categories": ["econ.GN"], "authors": AUTHORS}
                self.arxiv.days[TODAY].append(fields | texts)
            case "europepmc":
                authors = [{"fullName": name} for name in AUTHORS]
                fields = {"abstractText": abstract, "authorList": {"author": authors}}
                self.epmc.add(YESTERDAY, number, title=f"{title}.", **fields)
            case "biorxiv" | "medrxiv":
                texts["authors"] = "Roe, A.; Doe, K."
                self.biorxiv.add(YESTERDAY, number, server=source, **texts)
            case journal:
                fields = {"doi": f"10.5555/{number}", "day": str(YESTERDAY), "authors": AUTHORS}
                journal.add(number, title=title, summary=f"{abstract} {MORE}", **fields)


@pytest.fixture
def world(monkeypatch):
    with ExitStack() as stack:
        yield World(stack, monkeypatch)


@pytest.fixture
def panel(client):
    """The test client, after the log-in of the first operator."""
    upgrade.prepare_topics(print)
    User.objects.create_superuser("you", password="a long password")
    client.post("/admin/login/?next=/admin/", {"username": "you", "password": "a long password"})
    return client


def press(client, name, *args, **sent):
    """Send a form of the panel. Return what the next page says."""
    answer = client.post(reverse(f"admin:{name}", args=args), sent)
    return text_of(client.get(answer["Location"]) if answer.status_code == 302 else answer)


@pytest.mark.parametrize("field", FIELDS)
def test_field_gets_its_first_digest(field, world, panel, outbox, settings, monkeypatch):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1"})
    topics, come_from = FIELDS[field]["topics"], FIELDS[field]["sources"]
    wanted = papers_of(FIELDS[field])
    places = cycle([*come_from, *world.journals])
    for number, paper in enumerate([*wanted, *papers_of(OTHERS)], 1):
        world.add(next(places), number, *paper)
    world.add(world.journals[0], 99, *wanted[0])  # It is a preprint as well.

    assert "What do your readers work on?" in panel.get(reverse("admin:index")).text
    chosen = ["biology", "chemistry", "computer-science"] if field == "mixed" else [field]
    press(panel, "subscriptions_topic_use_fields", _form_submitted="on", chosen=chosen)
    assert set(registry.enabled()) >= set(come_from)
    for number, server in enumerate(world.journals):
        feed = {"title": f"Journal {number}", "feed_url": f"{server.base}/feed"}
        shown = press(panel, "digest_sourceconfig_add", is_on="on", completes="on", **feed)
        assert "was added successfully" in shown
        row = SourceConfig.objects.get(title=feed["title"])
        assert server.items[0]["title"] in press(panel, "digest_sourceconfig_try", row.pk)
    monkeypatch.setattr(sources, "enqueue", lambda task, *args: task(*args))
    monkeypatch.setitem(harvest.run.__kwdefaults__, "clock", lambda: NOW)
    press(panel, "digest_harvest_fetch", _form_submitted="on")
    assert not [run.result for run in Harvest.objects.exclude(state="done")]

    assert all(topic in panel.get("/subscribe/").text for topic in topics)
    sent = {"email": "you@example.org", "topics": topics, "interests": FIELDS[field]["keywords"]}
    Client().post("/subscribe/", sent)
    call_command("tick")
    link = re.search(r"http\S+/confirm/\S+", outbox()[0].get_body(("plain",)).get_content())[0]
    Client().post(urlsplit(link).path)
    call_command("tick")
    digest = Digest.objects.get()
    picks = {pick.paper.title: pick for pick in digest.picks.leading()}
    assert sorted(picks) == sorted(title for title, _ in wanted)
    assert digest.picks.leading().count() == len(picks)
    body = " ".join(outbox()[1].get_body(("plain",)).get_content().split())
    assert all(title in body and pick.topic_name in body for title, pick in picks.items())
