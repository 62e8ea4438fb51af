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
        from digest.letters import compose
        from digest.operations import roles
        from digest.views import preference_panels
        from subscriptions import hooks as registry
        from subscriptions.tasks import enqueue

        _refuse_unknown_sources()
        _refuse_unknown_categories()
        _refuse_unknown_parameters()
        post_migrate.connect(roles.keep, sender=self)
        registry.composers["digest"] = compose.compose
        registry.composers["welcome"] = compose.compose
        registry.on_confirmed.append(partial(enqueue, tasks.plan_digests))
        registry.on_never_left.append(hooks.release_picks)
        registry.on_reconciled.append(hooks.record_sent)
        registry.exporters.append(hooks.export)
        registry.on_reset.append(hooks.forget_feedback)
        registry.previews.append(preference_panels.difference)
        registry.panels.append(preference_panels.history_panel)
        registry.panels.append(preference_panels.saved_panel)
        registry.panels.append(preference_panels.steering_panel)
        registry.panels.append(preference_panels.feed_panel)


def _refuse_unknown_sources():
    from digest.papers.harvest import SOURCES

    if unknown := set(settings.SOURCES) - set(SOURCES):
        raise ImproperlyConfigured(
            f"SOURCES names {', '.join(sorted(unknown))}; there are {', '.join(SOURCES)}."
        )


def _refuse_unknown_categories():
    from digest.sources.arxiv import taxonomy

    for name in settings.ARXIV_CATEGORIES:
        if name not in taxonomy.HARVESTED:
            like = taxonomy.nearest(name)
            meant = (
                f"did you mean {like}?" if like else "they are like cs.LG, and archives like cs."
            )
            raise ImproperlyConfigured(
                f"ARXIV_CATEGORIES names {name}, which arXiv has not: {meant}"
            )


def _refuse_unknown_parameters():
    from digest.ranking.parameters import Parameters

    try:
        Parameters.of(settings.RANKING)
    except ValueError as error:
        raise ImproperlyConfigured(f"RANKING: {error}.") from None
