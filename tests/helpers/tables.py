"""The tables as they are, to be compared before and after what must not change them."""

from django.apps import apps


def everything():
    """Return all rows of all tables."""
    return {
        model: list(model._base_manager.order_by("pk").values())
        for model in apps.get_models(include_auto_created=True)
    }
