"""Formatted dates with a no-break space between the day of the month and the month.

In plain text, plaintext.wrapped replaces it with an ordinary space.
"""

import re

from django import template
from django.template import defaultfilters
from django.utils import formats

from subscriptions.mail.plaintext import NO_BREAK

#: Between "27" or "27." and "November", and so between "07:00" and "Uhr".
AFTER_NUMBER = re.compile(r"(?<=\d) (?=[^\W\d])|(?<=\d\.) (?=[^\W\d])")

register = template.Library()


def format_date(day, date_format: str) -> str:
    """Return a day in one of Django's formats, in the active language."""
    return AFTER_NUMBER.sub(NO_BREAK, formats.date_format(day, date_format))


@register.filter("date", expects_localtime=True)
def date_filter(value, date_format=None):
    """Replace Django's own filter in HTML templates."""
    return AFTER_NUMBER.sub(NO_BREAK, defaultfilters.date(value, date_format))
