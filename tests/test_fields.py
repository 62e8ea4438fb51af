"""Installations of five fields, from nothing to the first digest by the panel alone."""

import re
from contextlib import ExitStack, closing
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
from tests.factories.make import DAY, NOW
from tests.helpers.pages import text_of
from tests.servers.arxiv import ArxivServer
from tests.servers.daily_lists import BioRxivServer, HuggingFaceServer
from tests.servers.europepmc import EuropePmcServer
from tests.servers.journals import FORMATS, JournalServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

TODAY = NOW.date()
AUTHORS = ["Ada Roe", "Kay Doe"]
MORE = "The article has the methods and all figures in full."
#: Field -> topics and a line of keywords to follow, and papers on them, "title: abstract".
FIELDS = {
    "biology": (
        ["genome-editing", "microbiome"],
        "axolotl limb regeneration",
        """Prime editing corrects a splice mutation in retinal organoids: The edit restores reading.
        Genome editing of rice with a compact Cas12 nuclease: Few other sites were cut.
        CRISPR-Cas9 screens find regulators of iron uptake: Guide RNA screens in human cells.
        Base editing of a blood stem cell receptor in mice: Edited cells persist for months.
        The gut microbiome of wild voles follows the seasons: Feces of voles were sequenced monthly.
        Metagenomics of a cold spring reveals sulfur-oxidizing archaea: We assemble 40 genomes.
        Bacteriophage tail fibres decide the host range in soil biofilms: Fibres were swapped.
        Macrophages are needed early in axolotl limb regeneration: Without them, scars form.""",
    ),
    "medicine": (
        ["vaccines", "cardiovascular-disease"],
        "sickle cell disease",
        """Effectiveness of a bivalent vaccine in nursing homes: We estimate vaccine effectiveness.
        Reasons for vaccine hesitancy among pregnant women in two cities: A survey with interviews.
        Myocarditis after mRNA vaccines in adolescents, a cohort study: Cases were rare and mild.
        Measles immunization coverage after a campaign in rural districts: Coverage rose by a third.
        Early rhythm control in atrial fibrillation after ablation: Recurrence was less frequent.
        Salt substitutes and blood pressure in adults with hypertension: A village trial.
        Outcomes of heart failure with preserved ejection fraction by sex: A hospital register.
        Hydroxyurea and stroke risk in children with sickle cell disease: A small trial.""",
    ),
    "chemistry": (
        ["batteries", "organic-synthesis"],
        "mechanophores",
        """A fluorinated electrolyte for lithium metal batteries in the cold: It stays liquid.
        Manganese-rich cathode materials without voltage fade: Layers are pinned by titanium.
        Hard carbon from lignin as an anode of sodium-ion batteries: Pores are closed by heating.
        Grain boundaries limit a garnet solid-state electrolyte: Impedance is mapped at grains.
        Total synthesis of a marine alkaloid in nine steps: A cascade closes three rings at once.
        Nickel-catalyzed cross-coupling of alkyl chlorides with amides: Broad scope, mild base.
        Late-stage C-H functionalization of drug molecules with light: Radicals choose the site.
        Spiropyran mechanophores report stress in elastomers: Colour appears before fracture.""",
    ),
    "economics": (
        ["labour-economics", "monetary-policy"],
        "rent control",
        """Minimum wages and the hours of teenage workers: A border design with payroll records.
        Automation and employment in local labor markets: Robots displace some routine tasks.
        Unemployment insurance and job search over the benefit period: Search rises at exhaustion.
        Wage inequality within firms and the use of temp agencies: Outsourcing explains a part.
        Household inflation expectations after central bank announcements: A survey experiment.
        Monetary policy shocks and small firms in the euro area: Investment falls more at them.
        Forward guidance at the effective lower bound with sticky information: Effects are muted.
        Rent control and the supply of apartments, evidence from a reform: Supply fell slowly.""",
    ),
    "mixed": (
        ["protein-structure", "catalysis", "robotics"],
        "enzyme cascades",
        """Cryo-electron microscopy of a bacterial flagellar motor: The stator turns the ring.
        Protein design of binders with a learned scoring function: Nine of forty designs bind.
        AlphaFold models of membrane transporters in two states: Sampling sequences finds both.
        Single-atom catalysts of iron for ammonia oxidation: Sites are isolated on carbon.
        Heterogeneous catalysis of methane to methanol over copper zeolites: Water helps desorption.
        Legged locomotion over rubble from simulated terrain: A policy walks without a map.
        Robot manipulation of soft fruit with touch sensors: Slips are felt and corrected.
        Immobilized enzyme cascades make sugars from formaldehyde: Beads keep four enzymes.""",
    ),
}
#: What no one of them follows, in the same journals.
OFF_TOPIC = """Feather colour and mate choice in a tropical finch: Males were painted and observed.
    Grooming networks of macaques after a hurricane: Friends became more numerous.
    Lichen growth on old gravestones: Diameters follow the age of inscriptions.
    Sleep of school children before examinations: Diaries were kept for two terms.
    Knee pain after stair climbing in warehouse workers: Questionnaires over a winter.
    Needles and plates of aspirin grown in gels: One batch gave both.
    Voting on school budgets in small towns: Turnout depends on the weather.
    Bookstore opening hours and town centres: Streets were counted on Sundays.
    Prices of used cameras in online auctions: Photographs raise bids."""
YESTERDAY = TODAY - DAY
#: Field -> what its papers come from, besides journals. The first paper is a preprint there.
COME_FROM = {
    "biology": ["biorxiv", "europepmc"],
    "medicine": ["medrxiv", "europepmc"],
    "chemistry": ["europepmc"],
    "economics": ["arxiv"],
    "mixed": ["biorxiv", "europepmc", "arxiv"],
}


def papers(text):
    return [tuple(line.strip().split(": ")) for line in text.splitlines()]


class World:
    """The servers of all sources. Only addresses and pace of the real sources are changed."""

    def __init__(self, stack, monkeypatch):
        def started(make):
            return stack.enter_context(closing(make()))

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
def test_a_field_gets_its_first_digest(field, world, panel, outbox, settings, monkeypatch):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1"})
    topics, keywords, text = FIELDS[field]
    wanted, off_topic = papers(text), papers(OFF_TOPIC)
    places = cycle([*COME_FROM[field], *world.journals])
    for number, paper in enumerate([*wanted, *off_topic], 1):
        world.add(next(places), number, *paper)
    world.add(world.journals[0], 99, *wanted[0])  # It is a preprint as well.

    assert "What do your readers work on?" in panel.get(reverse("admin:index")).text
    chosen = ["biology", "chemistry", "computer-science"] if field == "mixed" else [field]
    press(panel, "subscriptions_topic_use_fields", _form_submitted="on", chosen=chosen)
    assert set(registry.enabled()) >= set(COME_FROM[field])
    for number, server in enumerate(world.journals):
        feed = {"title": f"Journal {number}", "feed_url": f"{server.base}/feed"}
        shown = press(panel, "digest_sourceconfig_add", is_on="on", completes="on", **feed)
        assert "was added successfully" in shown
        row = SourceConfig.objects.get(title=feed["title"])
        assert server.items[0]["title"] in press(panel, "digest_sourceconfig_try", row.pk)
    monkeypatch.setattr(sources, "enqueue", lambda task, *args: task(*args))
    monkeypatch.setitem(harvest.run.__kwdefaults__, "clock", lambda: NOW)
    press(panel, "digest_harvest_fetch", _form_submitted="on")
    assert not [run.said for run in Harvest.objects.exclude(state="done")]

    assert all(topic in panel.get("/subscribe/").text for topic in topics)
    sent = {"email": "you@example.org", "topics": topics, "interests": keywords}
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
