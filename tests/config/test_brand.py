"""The operator's logo and colour, in emails and on pages."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Engine

from config import brand

BASE = "email/base.html"


@pytest.mark.parametrize(
    "color", ["#1d4f91", "#000000", "#7a0019", "#006400", "#5b2a86", "#6b6b00"]
)
def test_shades_are_readable_on_light_and_dark_pages(color):
    accent, strong, tint, *dark = brand.shades(color).values()
    dark_accent, dark_strong, dark_tint = dark
    assert accent == color
    for words, ground in ((accent, "#ffffff"), (accent, tint), (strong, tint)):
        assert brand.contrast(words, ground) >= 4.5
    for ground in ("#15171a", "#1c1f23", dark_tint, "#0f2038"):
        assert brand.contrast(dark_accent, ground) >= 4.5
        assert brand.contrast(dark_strong, ground) >= 4.5


@pytest.mark.parametrize("color", ["#ffcc00", "#ffffff", "red", "#1d4f9", "#1d4f91;x"])
def test_unreadable_colour_is_refused_at_the_start(read_settings, color):
    with pytest.raises(ImproperlyConfigured, match="ACCENT_COLOR"):
        read_settings(ACCENT_COLOR=color)


@pytest.mark.parametrize("url", ["logo.png", "/logo.png?x", "//other.example/x", "data:x", "/a b"])
def test_logo_that_is_neither_url_nor_path_is_refused(read_settings, url):
    with pytest.raises(ImproperlyConfigured, match="LOGO_URL"):
        read_settings(LOGO_URL=url)


def test_policy_allows_the_style_and_the_logo_that_are_set(read_settings):
    plain = read_settings()
    settings = read_settings(ACCENT_COLOR="#7A0019", LOGO_URL="https://uni.example:8443/logo.svg")
    hashed = b64encode(sha256(settings["BRAND_STYLE"].encode()).digest()).decode()
    assert settings["SECURE_CSP"]["style-src"] == [
        *plain["SECURE_CSP"]["style-src"],
        f"'sha256-{hashed}'",
    ]
    assert settings["SECURE_CSP"]["img-src"][-1] == "https://uni.example:8443"
    assert (plain["BRAND_STYLE"], plain["BRAND_COLORS"], plain["LOGO_URL"]) == ("", {}, "")


@pytest.mark.django_db
def test_page_has_the_style_and_the_logo_that_are_set(client, settings):
    assert "<style>" not in client.get("/lost/").text
    settings.BRAND_STYLE = brand.style(brand.shades("#7a0019"))
    settings.LOGO_URL = "/logo.png"
    page = client.get("/lost/").text
    assert "<style>:root{--accent:#7a0019;" in page
    assert '<img src="/logo.png" height="28" alt="">' in page


def rendered(settings, **context):
    """Return the frame of emails, as its template is loaded now."""
    engine = Engine(
        settings.TEMPLATES[0]["DIRS"],
        loaders=["subscriptions.mail.inlining.Loader"],
        libraries={"i18n": "django.templatetags.i18n"},
    )
    return engine.get_template(BASE).render(Context({"site_name": "Papers"} | context))


def test_email_has_the_colour_and_the_logo_that_are_set(settings):
    plain = rendered(settings, logo_url="")
    settings.BRAND_COLORS = shades = brand.shades("#7a0019")
    branded = rendered(settings, logo_url="http://x.example/logo.png")
    assert '<img src="http://x.example/logo.png" height="28" alt=""' in branded
    assert "#1d4f91" in plain
    assert "#9fc3f8" in plain
    assert re.search("#1d4f91|#9fc3f8|<span", branded) is None
    assert shades["#9fc3f8"] in branded
