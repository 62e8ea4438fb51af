"""Load the HTML templates of emails with their CSS in style attributes, inlined once by premailer.

A template gets the rules of `<style>` in email/base.html, up to its `{% block style %}`, and those
of `{% block style %}` in the body.html beside it. Premailer skips the tags among these rules.
"""

import logging
import re
import threading
from contextlib import suppress
from itertools import count

from django.conf import settings
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loaders import filesystem
from django.template.utils import get_app_template_dirs

RULES = re.compile(
    r"(?:(<style[^>]*>)([^<]*))?{%\s*block style\s*%}(.*?){%\s*endblock.*?%}", re.DOTALL
)
COMMENT = re.compile("{#.*?#}")
#: Tags of the template language. Texts to translate and rules of the head are hidden as a whole:
#: lxml would escape their characters.
TAG = re.compile(
    r"{%\s*block(?:trans|\s+small|\s+dark).*?{%\s*endblock.*?%}|{%.*?%}|{{.*?}}", re.DOTALL
)
TAG_NUMBER = re.compile(r"@(\d+)@")
#: A start tag with a hidden tag, except in the quoted value of an attribute that no rule reads.
TAG_IN_TAG = re.compile(
    r"""<[a-z](?!(?:\s(?!class=|style=)[\w-]+=(?:"[^"]*"|'[^']*')|[^<>@])*+>)[^<>]*>?""",
    re.IGNORECASE,
)
STRUCTURE = re.compile(r"</?(?!style\b)\w+|@\d+@")
BODY = re.compile("<body.*?>(.*)</body>", re.DOTALL)
_premailer_lock = threading.Lock()  # cssutils keeps its state in globals.


class Loader(filesystem.Loader):
    """Finds templates where Django does, and inlines the CSS of email/**.html."""

    def get_dirs(self):
        return [*self.engine.dirs, *get_app_template_dirs("templates")]

    def get_contents(self, origin):
        contents, name = self._read(origin), origin.template_name
        if not (name.startswith("email/") and name.endswith(".html")):
            return contents
        style_sources = dict.fromkeys(["email/base.html", f"{name.rpartition('/')[0]}/body.html"])
        return inline_css(contents, "".join(map(self._rules, style_sources)), name)

    def _read(self, origin):
        """Return the source of a template. Those of emails have the operator's colours."""
        contents = super().get_contents(origin)
        colors = settings.BRAND_COLORS if origin.template_name.startswith("email/") else {}
        if colors:  # All at once: a shade may be the default of another.
            contents = re.sub("|".join(colors), lambda match: colors[match[0]], contents)
        return contents

    def _rules(self, name):
        for origin in self.get_template_sources(name):
            with suppress(TemplateDoesNotExist):
                rules = RULES.findall(self._read(origin))
                return "".join(css for _, *parts in rules for css in parts)
        return ""


def inline_css(template: str, css: str, name: str) -> str:
    """Return the source of a template with the CSS in the style attributes of its elements.

    The `<style>` of a page keeps what follows its `{% block style %}`. Fetches nothing. Raises
    TemplateSyntaxError if premailer can't read the elements. The only function that uses premailer.
    """
    # Imported here: cssutils takes a third of a second, which only processes that render pay.
    from premailer import Premailer

    prefix, html, suffix = RULES.sub(r"\1", COMMENT.sub("", template)).rpartition("<html")
    source = html + suffix.replace("<style", '<style data-premailer="ignore"')
    tags, tag_numbers = TAG.findall(source), count()
    page = TAG.sub(lambda _: f"@{next(tag_numbers)}@", source)

    def restored(text):
        return TAG_NUMBER.sub(lambda number: tags[int(number[1])], text)

    if match := TAG_IN_TAG.search(page):
        raise TemplateSyntaxError(
            f"{name}: in {restored(match[0])} a template tag may stand only in the quoted value of "
            f"an attribute other than class and style. Write an element for each case."
        )
    with _premailer_lock:
        inlined_page = Premailer(
            page if html else f"<html><head></head><body>{page}</body></html>",
            css_text=css,
            allow_network=False,
            strip_important=False,
            remove_classes=False,
            keep_style_tags=False,
            disable_validation=True,
            cssutils_logging_level=logging.CRITICAL,
        ).transform(pretty_print=False)
    if not html:
        inlined_page = BODY.search(inlined_page)[1]
    if STRUCTURE.findall(page.lower()) != STRUCTURE.findall(inlined_page.lower()):
        raise TemplateSyntaxError(
            f"{name}: each element must be closed in the branch that opens it."
        )
    return prefix + restored(inlined_page)
