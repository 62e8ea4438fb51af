"""Style sheets and scripts: kept by browsers where they were collected, found where they aren't."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.templatetags.static import static
from django.test import Client

SHEET = re.compile(r'rel="stylesheet" href="([^"]+)"')


@pytest.fixture(autouse=True)
def as_in_production(settings):
    settings.WHITENOISE_AUTOREFRESH = False


@pytest.fixture
def ours(settings):
    """Leave out the panel's files, which take seconds to collect."""
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    finders.get_finder.cache_clear()
    yield
    finders.get_finder.cache_clear()


def sheet():
    client = Client()
    (address,) = SHEET.findall(client.get("/nowhere/").text)
    answer = client.get(address, headers={"accept-encoding": "gzip"})
    b"".join(answer.streaming_content)  # Closes the file.
    return address, answer


def test_uncollected_files_have_plain_names():
    address, answer = sheet()
    assert address == "/static/paperboy.css"
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "max-age=60, public"


def test_collected_files_are_compressed_and_immutable(ours):
    call_command("collectstatic", interactive=False, verbosity=0)
    address, answer = sheet()
    assert re.fullmatch(r"/static/paperboy\.[0-9a-f]{12}\.css", address)
    assert answer.status_code == 200
    assert answer["Content-Encoding"] == "gzip"
    assert "immutable" in answer["Cache-Control"]
    assert static("not-collected.js") == "/static/not-collected.js"
