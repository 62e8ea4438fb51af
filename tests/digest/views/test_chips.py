"""How pages show the entries of the interests box, and the buttons that change them."""

from urllib.parse import urlencode

import lxml.html
import pytest
from django.http import QueryDict

from digest.indexing import index_store
from digest.models import Pick
from digest.planning import plan
from digest.sources import bibliographies
from digest.views import chips
from digest.views.forms.interests import InterestsForm
from digest.wording import reason_of
from subscriptions import child_process
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.data_files import DATA, cases

CASES = cases("chips")

pytestmark = pytest.mark.django_db


@pytest.fixture
def papers():
    make.topic("Computer vision", query="images, pixels")
    for number in range(3):
        make.paper(f"Protein folding in cells {number}", "Proteins.", authors=["Emmy Noether"])
        said = make.about("images of roads by Ada King")
        make.paper(f"Images of the road {number}", said, authors=["Ada King"])
    make.paper("Protein folding of old", "Folding.", day=TODAY - 8 * DAY)
    index_store.renew(NOW)


def shown(client, text):
    """Return the chips, each with its line and count, and the hints with their buttons."""
    page = lxml.html.fromstring(client.get("/preview/", {"interests": text}).text)
    entries = page.get_element_by_id("entries_interests")
    read = [
        (chip.get("data-line"), *(" ".join(part.text_content().split()) for part in chip[:-1]))
        for chip in entries.xpath(".//li[@data-line]")
    ]
    hints = [
        " ".join(hint.text_content().split()) for hint in entries.xpath(".//li[not(@data-line)]")
    ]
    return read, hints, entries.xpath(".//li[not(@data-line)]//button/@value")


def test_each_kind_of_entry_has_a_chip(client, papers):
    typed = "\n".join(line for line, _ in CASES["kinds"])
    *read, text = shown(client, f"{typed}\n\n{CASES['abstract']}")[0]
    assert [[*parts] for _, *parts in read] == [parts for _, parts in CASES["kinds"]]
    assert text[1] == f"text: {CASES['abstract'][:59]}…"


def test_topic_name_with_other_words_is_no_topic(client, papers):
    for typed in ("no more of computer vision", "computer vision 5"):
        assert "topic: " not in str(shown(client, typed)[0])


def test_the_same_interest_has_one_chip(client, papers):
    typed = "Roads\nroads\nComputer vision\ntopic: computer vision\nno roads"
    lines = [line for line, *_ in shown(client, typed)[0]]
    assert lines == ["Roads", "topic: Computer vision", "not: roads"]


def test_capitalized_words_are_names_unless_papers_use_them(client, papers):
    assert [chip[1] for chip in shown(client, "Bengio, Yoshua")[0]] == ["by Bengio, Yoshua"]
    assert [chip[1] for chip in shown(client, "Protein, Folding")[0]] == ["Protein", "Folding"]


@pytest.mark.parametrize(("typed", "hint_text", "line"), CASES["hints"])
def test_hint_offers_a_replacement_button(client, papers, typed, hint_text, line):
    _read, (hint,), buttons = shown(client, f"roads\n{typed}")
    assert hint_text in hint
    assert ("English" in hint) == ("English" in hint_text)
    assert buttons == ([f"1:{line}"] if line else [])


def test_plain_words_have_no_hint(client, papers):
    for typed in ("protein folding", "Emmy Noether", "no zzyzx", "cs.LG", '"images of roads"'):
        assert shown(client, typed)[1] == []


SENTENCE = "I work on protein folding and sour bread, but no surveys"


def test_edit_button_keeps_other_entries(client, papers):
    def text_after(edit):
        sent = {"interests": SENTENCE, "email": "you@example.org", "edit_interests": edit}
        page = client.post("/preview/", sent, follow=True)
        assert "example.org" not in page.redirect_chain[-1][0]
        return lxml.html.fromstring(page.text).xpath("//textarea")[0].value.strip().split("\n")

    assert text_after("0:") == ["sour bread", "not: surveys"]
    assert text_after("2:") == ["protein folding", "sour bread"]
    assert text_after("1:rye") == ["protein folding", "rye", "not: surveys"]
    for nonsense in ("x:", "-1:", "99:", "", f"{'9' * 5000}:"):
        lines = {SENTENCE, "protein folding", "sour bread", "not: surveys"}
        assert {*text_after(nonsense)} <= lines


def test_chip_lines_are_read_as_same_chips(client, papers):
    typed = f"{SENTENCE}\nEmmy Noether, Ada King\nComputer vision\nwords: Computer vision\ncs.LG"
    read = shown(client, typed)[0]
    assert shown(client, "\n".join(line for line, *_ in read))[0] == read


def of_subscriber(subscriber, **sent):
    form = InterestsForm(QueryDict(urlencode(sent)), subscriber=subscriber)
    parts = chips.chips_of_form(form, NOW).items()
    return {name: lxml.html.fromstring(f"<div>{html}</div>") for name, html in parts}


def test_new_reading_is_applied_only_on_request(client, papers):
    subscriber = make.subscriber(interests="Computer vision\nprotein folding\nEmmy Noether")
    path = f"/preferences/{tokens.token('preferences', subscriber.public_id)}/"
    page = lxml.html.fromstring(client.get(path).text)
    hints = page.xpath("//*[@id='entries_interests']//li[not(@data-line)]")
    texts = [" ".join(hint.text_content().split()) for hint in hints]
    assert texts == [
        "Computer vision: We would now read this as topic: Computer vision. Use",
        "Emmy Noether: We would now read this as by Emmy Noether. Use",
    ]
    sent = {"interests": "Computer vision\nprotein folding\nEmmy Noether"}
    client.post(path, sent)
    assert {*subscriber.preferences.values_list("topic__kind", flat=True)} == {""}
    for hint in hints:  # Without scripts: the page comes back with the lines of the new reading.
        (edit,) = hint.xpath(".//button/@value")
        page = lxml.html.fromstring(client.post(path, sent | {"edit_interests": edit}).text)
        sent["interests"] = page.get_element_by_id("id_interests").value.strip()
    assert subscriber.preferences.filter(topic__slug=None).count() == 3
    client.post(path, sent)
    own_entries = subscriber.preferences.values_list("topic__query", "topic__kind")
    assert {*own_entries} == {
        ("images, pixels", ""),
        ("protein folding", ""),
        ("author: Emmy Noether", "author"),
    }


def test_muted_entries_have_chips_of_their_own(papers):
    sent = {"interests": "roads\nno surveys", "muted_interests": "protein folding\nzzyzx"}
    read = of_subscriber(make.subscriber(), **sent)
    lines = {name: part.xpath(".//li/@data-line") for name, part in read.items()}
    assert lines == {
        "interests": ["roads", "not: surveys"],
        "muted_interests": ["protein folding", "zzyzx"],
    }
    assert not read["muted_interests"].xpath(".//li[not(@data-line)]")


def test_entries_beyond_limit_have_no_count(papers):
    many = "\n".join(" ".join(f"loaf{n}x{m}" for m in range(200)) for n in range(4))
    read = of_subscriber(make.subscriber(), interests=f"protein folding\n{many}")["interests"]
    counts = [len(chip.xpath("./span")) for chip in read.xpath(".//li[@data-line]")]
    assert counts[0] == 1
    assert counts[-1] == 0


def test_chips_are_shown_without_a_model(client):
    read, _hints, _buttons = shown(client, "protein folding\nzzyzx")
    assert read == [("protein folding", "protein folding"), ("zzyzx", "zzyzx")]


def test_no_email_is_announced_for_unread_interests(client, papers):
    for typed, is_announced in (("mit.edu/~me", False), ("2506.04235", True)):
        page = client.get("/preview/", {"interests": typed})
        assert "No matches in the last 7 days" in page.text
        assert ("Sign up anyway" in page.text) == is_announced


def test_undo_brings_back_a_removed_entry(client, papers):
    path = f"/preferences/{tokens.token('preferences', make.subscriber().public_id)}/"
    for address in ("/preview/", path):
        sent = {"interests": "protein folding\nroads", "edit_interests": "0:"}
        removed = lxml.html.fromstring(client.post(address, sent, follow=True).text)
        (button,) = removed.xpath("//*[@id='entries_interests']/p/button")
        assert "Removed: protein folding" in button.getparent().text_content()
        edit = {"interests": "roads", button.get("name"): button.get("value")}
        back = lxml.html.fromstring(client.post(address, edit, follow=True).text)
        area = back.get_element_by_id("id_interests").value
        assert area.split() == ["roads", "protein", "folding"]
        assert not back.xpath("//*[@id='entries_interests']/p/button")


def test_undo_brings_back_the_only_entry(client, papers):
    page = client.post("/preview/", {"interests": "roads", "edit_interests": "0:"}, follow=True)
    (button,) = lxml.html.fromstring(page.text).xpath("//*[@id='entries_interests']/p/button")
    assert button.get("value").endswith(":roads")


def test_paper_link_is_interest_in_similar_papers(client):
    road = make.paper("Roads", make.about("how roads of asphalt age in the frost"))
    like = make.paper("Asphalt", make.about("how roads of asphalt crack in the frost"))
    other = make.paper("Tar", make.about("how roads of asphalt and tar age in the frost"))
    make.paper("Rice", "Farmers cook rice in pots of clay, and salt it before they eat at home.")
    index_store.renew(NOW)
    read, _hints, _buttons = shown(client, f"https://arxiv.org/abs/{road.pk}v3")
    assert read == [(road.pk, "like “Roads”", "2 last week")]
    interests = f"{road.pk}\n{like.pk}"
    someone = make.subscriber(interests=interests, confirmed_at=NOW - DAY)
    someone.own_topics.update(kind="paper")
    plan.plan(NOW)
    picks = Pick.objects.filter(digest__subscriber=someone)
    assert {pick.paper: reason_of(pick).partition(":")[0] for pick in picks} == {
        other: "Like “Roads”, which you added"
    }
    assert {pick.basis for pick in picks} == {"added"}


BIBTEX = (DATA / "interests.bib").read_text()
RIS = "TY  - JOUR\nTI  - Roads of asphalt in the frost\nDO  - 10.1000/1\nER  - \n"


def test_bibliography_is_an_entry_per_paper(client):
    stored = make.paper("Stored", make.about("roads"))
    sent = QueryDict(urlencode({"interests": BIBTEX % stored.pk + "rice"}))
    form = InterestsForm(sent, subscriber=make.subscriber())
    assert form.is_valid()
    assert [(entry.kind, entry.text) for entry in form.entries] == [
        ("words", "teas of Assam"),
        ("words", "rice"),
        ("paper", "Roads of asphalt in the frost doi:10.1000/1"),
        ("paper", "Tar | How tar is made of coal."),
        ("paper", stored.pk),
    ]
    form = InterestsForm(QueryDict(urlencode({"interests": RIS})), subscriber=make.subscriber())
    assert form.is_valid()
    assert [entry.text for entry in form.entries] == ["Roads of asphalt in the frost doi:10.1000/1"]
    read, _hints, _buttons = shown(client, BIBTEX % stored.pk)
    assert read[1] == (
        "paper: Roads of asphalt in the frost doi:10.1000/1",
        "like “Roads of asphalt in the frost”",
    )


def test_bibliography_is_shown_as_lines_without_scripts(client, papers):
    sent = {"interests": BIBTEX % "2001.00001", "edit_interests": "0:"}
    page = lxml.html.fromstring(client.post("/preview/", sent, follow=True).text)
    lines = page.get_element_by_id("id_interests").value.strip().splitlines()
    assert lines[0] == "paper: Roads of asphalt in the frost doi:10.1000/1"


def test_long_paper_lists_are_folded_or_refused(client, papers):
    many = "\n".join(f"@misc{{a{n}, title = {{Roads of the kind {n}}}}}" for n in range(51))
    page = client.post("/preview/", {"interests": many.partition("@misc{a30")[0]}, follow=True)
    read = lxml.html.fromstring(page.text).get_element_by_id("entries_interests")
    assert len(read.xpath("./ul/li[@data-line]")) == 8
    assert len(read.xpath("./details/ul/li[@data-line]")) == 22
    text = client.post("/preview/", {"interests": many}, follow=True).text
    assert "Please keep to 50 interests. A longer bibliography fits into your library" in text


def test_busy_parser_is_explained(client, monkeypatch):
    def busy(text):
        raise child_process.Busy

    monkeypatch.setattr(bibliographies, "read", busy)
    page = client.post("/preview/", {"interests": RIS}, follow=True).text
    assert "Other texts are being read. Try again in a minute." in page
