from functools import partial

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate


class DigestConfig(AppConfig):
    name = "digest"
    verbose_name = "Papers and digests"

    def ready(self):
        from digest import composing, history, panels, roles, tasks
        from subscriptions import registry
        from subscriptions.tasks import enqueue

        _refuse_unknown_sources()
        _refuse_unknown_categories()
        _refuse_unknown_parameters()
        post_migrate.connect(roles.keep, sender=self)
        registry.composers["digest"] = composing.compose
        registry.composers["welcome"] = composing.compose
        registry.on_confirmed.append(partial(enqueue, tasks.plan_digests))
        registry.on_never_left.append(history.release_picks)
        registry.on_reconciled.append(history.record_sent)
        registry.exporters.append(history.export)
        registry.on_reset.append(history.forget_feedback)
        registry.previews.append(panels.difference)
        registry.panels.append(panels.history_panel)
        registry.panels.append(panels.saved_panel)
        registry.panels.append(panels.steering_panel)
        registry.panels.append(panels.feed_panel)


def _refuse_unknown_sources():
    from digest.harvest import SOURCES

    if unknown := set(settings.SOURCES) - set(SOURCES):
        raise ImproperlyConfigured(
            f"SOURCES names {', '.join(sorted(unknown))}; there are {', '.join(SOURCES)}."
        )


def _refuse_unknown_categories():
    from digest.sources import taxonomy

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
