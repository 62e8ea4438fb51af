"""A template filter for citation data."""

from django import template

from digest.papers import citations

register = template.Library()
register.filter("coins", citations.coins)
