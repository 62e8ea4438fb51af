"""The operator's logo and colour, in emails and on pages."""

import pytest
from django.template import engines

from config import brand
from subscriptions.mail import render


@pytest.mark.parametrize("color", ["#1d4f91", "#000000", "#7a0019", "#006400", "#6b6b00"])
def test_shades_are_readable_on_light_and_dark_pages(color):
    accent, strong, tint, *dark, dark_tint = brand.shades(color).values()
    for ground in ("#ffffff", "#fbfbf9", tint):
        assert min(brand.contrast(words, ground) for words in (accent, strong)) >= 4.5
    for ground in ("#15171a", "#1c1f23", "#0f2038", dark_tint):
        assert min(brand.contrast(words, ground) for words in dark) >= 4.5


def test_policy_allows_configured_style_and_logo(read_settings):
    settings = read_settings(ACCENT_COLOR="#7A0019", LOGO_URL="https://uni.example:8443/logo.svg")
    assert settings["SECURE_CSP"]["style-src"][-1].startswith("'sha256-")
    assert settings["SECURE_CSP"]["img-src"][-1] == "https://uni.example:8443"


@pytest.mark.django_db
@pytest.mark.parametrize(("color", "logo"), [("", ""), ("#7a0019", "/logo.png")])
def test_emails_and_pages_have_configured_colour_and_logo(client, settings, color, logo):
    settings.BRAND_COLORS, settings.LOGO_URL = brand.shades(color), logo
    settings.BRAND_STYLE = brand.style(settings.BRAND_COLORS)
    (loader,) = engines["html"].engine.template_loaders
    loader.reset()  # It has read the templates.
    email, page = render.render("test", {}).html, client.get("/lost/").text
    loader.reset()
    assert ("<style>:root{--accent:#7a0019;" in page) == bool(color)
    assert ('<img src="/logo.png" height="28" alt="">' in page) == bool(logo)
    assert ('<img src="http://127.0.0.1:8000/logo.png" height="28" alt=""' in email) == bool(logo)
    assert [default in email for default in ("#1d4f91", "#9fc3f8")] == [not color] * 2
