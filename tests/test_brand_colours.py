"""One look for all: letters and panel have no colours but those of the public pages."""

import re

from django.conf import settings

COLOUR = re.compile(r"#[0-9a-f]{6}\b|#[0-9a-f]{3}\b")
SHEET = (settings.BASE_DIR / "static" / "paperboy.css").read_text()
SITE = {
    colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
    for block in re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
    for colour in COLOUR.findall(block)
}


def test_emails_have_the_colours_of_pages():
    for path in (settings.BASE_DIR / "templates" / "email").rglob("*.*"):
        assert set(COLOUR.findall(path.read_text())) <= SITE, path


def test_panel_has_the_greys_of_pages():
    greys = settings.UNFOLD["COLORS"]["base"]
    assert {greys[step] for step in ("50", "200", "600", "700", "900", "950")} <= SITE


def test_style_sheet_contains_no_words():
    said = re.findall(r"[^-]content:([^;]*);", SHEET)
    assert said
    assert not [one for one in said if re.search(r"[^\W\d_]", re.sub(r"attr\([\w-]+\)", "", one))]
