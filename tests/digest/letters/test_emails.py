"""The letters as they lie in the outbox: what they say, and what mail programs make of them."""

import json
import re
from email import message_from_bytes, policy

import lxml.html
import pytest

from digest.letters import compose
from digest.models import Digest, Paper, Pick
from digest.papers import store
from digest.sources import import_files
from subscriptions.actions import signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import queue
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.letter_data import material_of, mime_of
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.data_files import cases

pytestmark = pytest.mark.django_db
CONSENT_SOURCE = signup.ConsentSource("test")
NUMBERED = re.compile(r"^[^\S\n]*(\[?\d+[\].)])\s", re.MULTILINE)


@pytest.fixture
def sent(data_dir):
    """Return a function that delivers a letter and returns its bytes."""

    def send(letter):
        assert queue.deliver(letter.pk, NOW)
        (file,) = (data_dir / "outbox").glob(f"*-{letter.pk}.eml")
        return file.read_bytes()

    return send


@pytest.fixture
def digest(sent):
    """Return a function that delivers a digest of these papers and returns it, parsed."""

    def send(*papers, **fields):
        return parsed(sent(digest_letter(*papers, **fields)))

    return send


def digest_letter(*papers, topics=("Graph learning",), kind="digest"):
    subscriber = make.subscriber(topics=[make.topic(name) for name in topics])
    letter = queue.create(subscriber, kind, now=NOW, closes_at=NOW + DAY)
    common = {"subscriber": subscriber, "score": 0.5, "terms": ["graph", "node"]}
    common |= {"basis": "topic", "topic_name": topics[0]} if topics else {"basis": "new"}
    digest = Digest.objects.create(subscriber=subscriber, day=TODAY, letter=letter, considered=400)
    for position, paper in enumerate(papers, start=1):
        Pick.objects.create(digest=digest, paper=paper, position=position, **common)
    return letter


def parsed(mime):
    return message_from_bytes(mime, policy=policy.default)


def text_of(message):
    return message.get_body(["plain"]).get_content().replace("\r\n", "\n")


def html_of(message):
    return message.get_body(["html"]).get_content()


def shown(message):
    """Return the HTML part's words, on one line."""
    return " ".join(lxml.html.fromstring(html_of(message).encode()).text_content().split())


def test_both_parts_list_papers_with_reasons(digest):
    paper = make.paper(**cases("papers")["accepted"])
    letter = digest(paper)
    for text in cases("papers")["said_of_accepted"]:
        assert text in " ".join(text_of(letter).split())
        assert text in shown(letter)
    assert paper.link in text_of(letter)
    assert "Project page: https://example.org/a?b&c\n" in text_of(letter)
    assert "Their words" not in shown(letter)
    assert "68T05" not in shown(letter)


def test_latex_is_readable_and_markup_is_escaped(digest):
    row = {"id": "2606.00001", "title": r"When $\alpha<\beta$ & more"}
    row["abstract"] = r"Let $x \in X$."
    store.store([import_files.parse(json.dumps(row).encode())], now=NOW)
    markup = "AT&T <script>alert(1)</script> {{ site_url }} {% now 'Y' %} 5 > 4"
    letter = digest(Paper.objects.get(), make.paper(markup), topics=[r"$\alpha$-stable graphs"])
    for part in (text_of(letter), shown(letter)):
        text = " ".join(part.split())
        assert "When α<β & more" in text
        assert "Let x ∈ X." in text
        assert "α-stable graphs" in text
        assert markup in text
    assert "AT&amp;T &lt;script&gt;" in html_of(letter)
    assert "<script" not in html_of(letter)


def test_hugging_face_summary_replaces_long_abstract(digest):
    data = {"summary": "Graphs < trees."}
    paper = make.paper("Graphs", "so it goes " * 40, hugging_face=data)
    letter = digest(paper, make.paper("Bare", id="title:0123456789"))
    for part in (text_of(letter), shown(letter)):
        assert "Summary by Hugging Face: Graphs < trees." in part
        assert "so it goes" not in part
    assert "None" not in shown(letter)
    assert 'href=""' not in html_of(letter)


def test_list_headers_allow_one_click_unsubscribe(sent):
    letter = digest_letter(make.paper("Graphs"))
    url = re.escape(tokens.unsubscribe_url(letter.subscriber).encode())
    head = sent(letter).partition(b"\r\n\r\n")[0]
    for header in (
        rb"List-Unsubscribe: <" + url + b">",
        rb"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        rb"List-Id: Daily papers <daily.paperboy.example>",
        rb"Auto-Submitted: auto-generated",
        rb"Message-ID: <digest\.2026-06-01\.[0-9a-f]{32}@paperboy\.example>",
    ):
        assert re.search(rb"\r\n" + header + rb"\r\n", head), header


@pytest.mark.parametrize("count", [1, 2, 12])
def test_subject_is_title_of_best_paper(count):
    titles = [f"{n} Flaschen süßen Weins {'und 图神经网络 ' * 20}".strip() for n in range(count)]
    content = compose.render(material_of(titles))
    rest = f" + {count - 1} more" if count > 1 else ""
    assert content.subject == titles[0] + rest
    assert parsed(mime_of(content))["Subject"] == content.subject


REPLIES = "Re: Fwd: an old", "RE : zero", "Aw: wieder", "RE： x", "Re[2]: x", "\u200eSV: x"


@pytest.mark.parametrize("title", REPLIES)
def test_title_like_a_reply_is_quoted(title):
    subject = compose.render(material_of([title])).subject
    assert subject.endswith(f"{title.removeprefix(chr(0x200E))}”")


def test_subscriber_without_topics_is_invited_to_choose(sent):
    letter = digest_letter(make.paper("Graphs"), topics=())
    message = parsed(sent(letter))
    assert "Choose your topics" in shown(message)
    assert "You don’t follow any topics yet" in " ".join(text_of(message).split())
    assert text_of(message).count("/e/p") == 2  # To choose topics, and to change anything.


def test_welcome_without_papers_says_so(digest):
    message = digest(kind="welcome")
    assert message["Subject"] == "Welcome to Paperboy"
    assert "Nothing today." in shown(message)
    assert not NUMBERED.search(text_of(message))
    assert "List-Unsubscribe" in message


def test_sign_up_emails_contain_no_text_of_the_form(sent):
    topics = TopicSelection(interests=["Buy at https://spam.example now"])
    request = signup.SignUpRequest(topics)  # Anyone may type anyone's address.
    letter = signup.subscribe("reader@example.org", request, source=CONSENT_SOURCE, now=NOW)
    email = parsed(sent(letter))
    url = tokens.answer_url(letter.subscriber, "confirm", letter.subscriber.asked_at)
    assert html_of(email).count(f'href="{url}"') == 2
    assert f"\n{url}\n" in text_of(email)
    assert "spam" not in text_of(email) + html_of(email)


def test_media_rules_survive_inlining(digest):
    page = lxml.html.fromstring(html_of(digest(make.paper("Graphs"))).encode())
    (style,) = page.iter("style")
    rules = re.findall(r"\.([a-z]+)[^{}]*\{([^{}]*)\}", style.text)
    assert rules
    for name, declarations in rules:
        assert page.find_class(name), f"no element of class {name} is left"
        assert declarations.count("!important") == declarations.count(":")
    assert all("!important" not in element.get("style", "") for element in page.iter("*"))
