from functools import partial

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate


class DigestConfig(AppConfig):
    name = "digest"
    verbose_name = "Papers and digests"

    def ready(self):
        from digest import hooks, tasks
        from digest.channels import webhooks
        from digest.letters import compose
        from digest.operations import roles, upgrade
        from digest.sources.arxiv import calendar
        from subscriptions import hooks as subscription_hooks
        from subscriptions.tasks import enqueue

        _check_settings()
        calendar.EXCEPTIONS.update(settings.ARXIV_HOLIDAYS)
        post_migrate.connect(roles.update_groups, sender=self)
        post_migrate.connect(upgrade.add_sources, sender=self)
        subscription_hooks.composers["digest"] = compose.compose
        subscription_hooks.composers["welcome"] = compose.compose
        for task in (tasks.read_added_papers, tasks.plan_digests):
            subscription_hooks.on_confirmed.append(partial(enqueue, task))
        subscription_hooks.post_to_channel = webhooks.post
        subscription_hooks.on_not_sent.append(hooks.release_picks)
        subscription_hooks.exporters.append(hooks.export)
        subscription_hooks.erasers.append(hooks.forget_recommendations)


def _check_settings():
    """Raise ImproperlyConfigured for unknown names of sources and categories, and a wrong cut."""
    from digest.papers.registry import SOURCES
    from digest.ranking.parameters import Parameters
    from digest.sources.arxiv import taxonomy

    if unknown := set(settings.SOURCES or ()) - set(SOURCES):
        raise ImproperlyConfigured(
            f"SOURCES has unknown names: {', '.join(sorted(unknown))}. "
            f"Choose from {', '.join(SOURCES)}."
        )
    try:
        taxonomy.checked_names(settings.ARXIV_CATEGORIES)
    except ValueError as error:
        raise ImproperlyConfigured(f"ARXIV_CATEGORIES: {error}") from None
    try:
        Parameters.of(settings.RANKING)
    except ValueError as error:
        raise ImproperlyConfigured(f"RANKING: {error}.") from None
