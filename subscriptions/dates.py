"""Dates as letters and pages say them: no line ends between the number of a day and its month.

In the plain text of letters the space is one as any other: plaintext.wrapped makes it so.
"""

import re

from django import template
from django.template import defaultfilters
from django.utils import formats

from subscriptions.plaintext import NO_BREAK

#: Between "27" or "27." and "November", and so between "07:00" and "Uhr".
AFTER_NUMBER = re.compile(r"(?<=\d) (?=[^\W\d])|(?<=\d\.) (?=[^\W\d])")

register = template.Library()


def said(day, form: str) -> str:
    """Return a day in one of Django's formats, in the language that is active."""
    return _together(formats.date_format(day, form))


@register.filter("date", expects_localtime=True)
def in_a_template(value, form=None):
    """Say a date as Django's own filter does, whose place this one takes in templates of HTML."""
    return _together(defaultfilters.date(value, form))


def _together(text):
    return AFTER_NUMBER.sub(NO_BREAK, text)
