"""Email templates are loaded with their CSS in style attributes."""

import socket

import pytest
from django.conf import settings
from django.template import Context, Engine, TemplateSyntaxError

from subscriptions.mail import inlining
from tests.helpers import data_files


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a template from a folder that overrides the product's."""
    folders = [str(tmp_path), *settings.TEMPLATES[0]["DIRS"]]
    libraries = {"i18n": "django.templatetags.i18n"}
    engine = Engine(folders, loaders=["subscriptions.mail.inlining.Loader"], libraries=libraries)

    def load(name, source):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(source)
        return engine.get_template(name)

    return load


def test_template_has_rules_of_base_and_its_folder(load):
    source = """{% load i18n %}
        <p class="lead">{% blocktranslate %}a & b{% endblocktranslate %}</p>
        <a class="link" href="{{ c }}?d&amp;{{ e }}" title="{% translate "f" %}">g</a><br>"""
    template = load("email/digest/_group.html", "{# Gone. #}" + source)
    styled = source.replace('"lead"', '"lead" style="margin:10px 0 0"')
    assert template.source == styled.replace('%}">g', '%}" style="color:#1d4f91">g')


def test_rules_of_an_email_and_head_are_combined(load):
    template = load(
        "email/kind/body.html",
        """{% extends "email/base.html" %}
        {% block style %}{% if rare %}.lead { color: red }{% endif %}{% endblock %}
        {% block small %}td > p { margin: 0 !important }{% endblock %}
        {% block body %}<p class="lead">a</p>{% endblock %}""",
    )
    page = template.render(Context())
    assert page.startswith('<!DOCTYPE html>\n<html lang="en')
    assert '<p class="lead" style="margin:0 0 12px; color:red">a</p>' in page
    assert "td > p { margin: 0 !important }\n}\n@media (prefers-color-scheme: dark)" in page
    assert "<style>\n@media" in page


@pytest.mark.parametrize("source", data_files.load("unstylable_templates.txt"))
def test_template_that_cannot_be_inlined_is_refused(source, load):
    with pytest.raises(TemplateSyntaxError, match=r"^email/_a\.html: .*(Write|must be closed)"):
        load("email/_a.html", f'<p title="{{ a }} > 1">c</p>{source}')


def test_inlining_fetches_nothing(monkeypatch):
    addresses, url = [], "http://127.0.0.1:9/x"
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: addresses.append(address))
    page = f'<html><head><link rel="stylesheet" href="{url}"></head><body><img src="{url}"></body>'
    inlining.inline_css(f"{page}</html>", f"img {{ background: url({url}) }}", "")
    assert addresses == []
