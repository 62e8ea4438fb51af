"""How pages show the entries of the interests box, and the buttons that change them."""

from urllib.parse import urlencode

import lxml.html
import pytest
from django.http import QueryDict

from digest.indexing import index_store
from digest.views.forms.interests import InterestsForm
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
    """Return the chips, each with its count, and the hints with their buttons."""
    page = lxml.html.fromstring(client.get("/preview/", {"interests": text}).text)
    entries = page.get_element_by_id("entries_interests")
    read = [
        " ".join(" ".join(part.text_content() for part in chip[:-1]).split())
        for chip in entries.xpath(".//li[@data-kind]")
    ]
    hints = [
        " ".join(hint.text_content().split()) for hint in entries.xpath(".//li[not(@data-kind)]")
    ]
    return read, hints, entries.xpath(".//li[not(@data-kind)]//button/@value")


@pytest.mark.parametrize(("typed", "chips"), CASES["chips"].items())
def test_line_is_shown_as_chips(client, papers, typed, chips):
    assert shown(client, typed)[0] == chips


@pytest.mark.parametrize(("typed", "hint_text", "line"), CASES["hints"])
def test_hint_offers_a_replacement_button(client, papers, typed, hint_text, line):
    _read, (hint,), buttons = shown(client, f"roads\n{typed}")
    assert hint_text in hint
    assert ("English" in hint) == ("English" in hint_text)
    assert [button.partition("\n")[2] for button in buttons] == ([line] if line else [])


def test_plain_words_have_no_hint(client, papers):
    for typed in ("protein folding", "Emmy Noether", "no zzyzx", "cs.LG", '"images of roads"'):
        assert shown(client, typed)[1] == []


def after_edit(client, text, edit):
    """Return the page after a press of a button, without scripts, and the text in the field."""
    sent = {"interests": text, "email": "you@example.org", "edit_interests": edit}
    answer = client.post("/preview/", sent, follow=True)
    assert "example.org" not in answer.redirect_chain[-1][0]
    page = lxml.html.fromstring(answer.text)
    return page, page.get_element_by_id("id_interests").value.strip()


def test_edit_button_keeps_other_entries(client, papers):
    typed = "rice\nprotein folding, sour bread, no surveys"
    lines = ["rice", "protein folding", "sour bread", "not: surveys"]
    for edit, expected in (
        ("protein folding", ["rice", *lines[2:]]),
        ("not: surveys", lines[:3]),
        ("sour bread\r\nrye\r\ntea", ["rice", "protein folding", "rye", "tea", "not: surveys"]),
        ("\nrye", [*lines, "rye"]),
        ("gone", lines),
        ("gone\nrye", lines),
        *((nonsense, lines) for nonsense in ("~", "\n", "0:", "~~")),
    ):
        assert after_edit(client, typed, edit)[1].splitlines() == expected
    many = "\n".join(f"subject {number}" for number in range(70))
    page, text = after_edit(client, many, "subject 0")
    assert text.splitlines() == many.splitlines()
    assert "Please keep to 50 interests" in page.text_content()


PROSE = "I fold proteins:\nprotein folding & roads.  Not interested in surveys of roads; I sing"


def prose_of(page):
    """Return the text of the page's only prose, the phrases in it by their marks, and hints."""
    (prose,) = page.xpath("//*[@id='entries_interests']//*[@class='text']/p")
    phrases = {mark: prose.xpath(f".//{mark}/text()") for mark in ("mark", "del")}
    for button in prose.xpath(".//button"):
        button.text = ""
    hints = page.xpath("//*[@id='entries_interests']//ul[@class='hints']/li")
    return prose.text_content(), phrases, [" ".join(hint.text_content().split()) for hint in hints]


def test_prose_is_shown_as_typed_with_telling_phrases_marked(client, papers):
    page = lxml.html.fromstring(client.get("/", {"interests": PROSE}).text)
    text, phrases, hints = prose_of(page)
    assert text == PROSE.replace("  ", " ")
    assert phrases == {"mark": ["protein folding"], "del": []}
    assert hints == ["You say no to “surveys of roads”. Hide such papers"]
    assert page.get_element_by_id("id_interests").value.strip() == PROSE


def test_phrase_of_prose_is_left_out_and_used_again(client, papers):
    page, text = after_edit(client, PROSE, "~roads")
    assert "folding & ~~roads~~. Not interested in surveys of roads" in text
    assert prose_of(page)[1] == {"mark": ["protein folding"], "del": ["roads"]}
    (button,) = page.xpath("//del/following-sibling::button[1]")
    assert button.get("aria-label") == "Use again: roads"
    page, text = after_edit(client, text, button.get("value"))
    assert text == PROSE.replace("  ", " ")
    assert prose_of(page)[1]["del"] == []
    page, text = after_edit(client, "I study roads.\nrice", "~roads")
    assert prose_of(page)[1]["del"] == ["roads"]  # Though nothing else is in the text.


def test_unwanted_phrase_is_hidden_only_on_request(client, papers):
    page, _text = after_edit(client, f"{PROSE}\ncs.LG", "")
    (edit,) = page.xpath("//button[text()='Hide such papers']/@value")
    page, text = after_edit(client, f"{PROSE}\ncs.LG", edit)
    assert text.splitlines()[2:] == ["cs.LG", "not: surveys of roads"]
    assert prose_of(page)[2] == []


def test_saved_prose_is_shown_and_saved_as_it_was(client, papers):
    subscriber = make.subscriber()
    path = f"/preferences/{tokens.token('preferences', subscriber.public_id)}/"
    sent = f"{PROSE}\nprotein pie\nwords: roads\nauthor: Ada King\nno surveys"
    for _ in range(2):
        client.post(path, {"interests": sent})
        rows = subscriber.preferences.values_list("topic__kind", "topic__query", "stance")
        assert {*rows} == {
            ("text", PROSE.replace("  ", " ") + "\nprotein pie\nno surveys", "follow"),
            ("words", "roads", "follow"),
            ("author", "author: Ada King", "follow"),
        }
        page = lxml.html.fromstring(client.get(path).text)
        sent = page.get_element_by_id("id_interests").value.strip()
    assert prose_of(page)[2] == [
        "You say no to “surveys of roads”. Hide such papers",
        "You say no to “surveys”. Hide such papers",
    ]
    sent += "\nnot: surveys"
    client.post(path, {"interests": sent, "muted_interests": "I don't want papers on tea"})
    assert prose_of(lxml.html.fromstring(client.get(path).text))[2] == [
        "You say no to “surveys of roads”. Hide such papers"
    ]
    muted = subscriber.preferences.filter(stance="mute")
    assert {*muted.values_list("topic__query", flat=True)} == {"surveys", "tea"}


def test_chips_are_shown_without_a_model(client):
    read, _hints, _buttons = shown(client, "protein folding\nzzyzx")
    assert read == ["protein folding", "zzyzx"]


def test_no_email_is_announced_for_unread_interests(client, papers):
    for typed, is_announced in (("mit.edu/~me", False), ("2506.04235", True)):
        page = client.get("/preview/", {"interests": typed})
        assert "No matches in the last 7 days" in page.text
        assert ("Sign up anyway" in page.text) == is_announced


def test_undo_brings_back_a_removed_entry(client, papers):
    path = f"/preferences/{tokens.token('preferences', make.subscriber().public_id)}/"
    for address, others in (("/preview/", "roads"), (path, "roads"), ("/preview/", "")):
        sent = {"interests": f"protein folding\n{others}", "edit_interests": "protein folding"}
        removed = lxml.html.fromstring(client.post(address, sent, follow=True).text)
        (button,) = removed.xpath("//*[@id='undone_interests']//button")
        assert "Removed: protein folding" in button.getparent().text_content()
        edit = {"interests": others, button.get("name"): button.get("value")}
        back = lxml.html.fromstring(client.post(address, edit, follow=True).text)
        area = back.get_element_by_id("id_interests").value
        assert area.split() == [*others.split(), "protein", "folding"]
        assert not back.xpath("//*[@id='undone_interests']//button")


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
    _page, text = after_edit(client, RIS, "")  # Without scripts, lines are shown.
    assert text == "paper: Roads of asphalt in the frost doi:10.1000/1"
    read, _hints, _buttons = shown(client, BIBTEX % stored.pk)
    assert read[1] == "like “Roads of asphalt in the frost”"
