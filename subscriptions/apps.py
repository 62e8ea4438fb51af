from django.apps import AppConfig
from django.conf import settings


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    verbose_name = "Subscriptions"

    def ready(self):
        from subscriptions import mail, notices, registry
        from subscriptions.post import esps, mailboxes, oracles, signing, verp
        from subscriptions.post.transports import transport_for

        transport_for(settings.EMAIL_URL)  # Refuse what can't be, before letters are lost to it.
        mail.check()
        signing.check()
        verp.check()
        mailboxes.check()
        oracles.ours()
        if esps.names_one(settings.EMAIL_URL):
            from subscriptions.post import esp_events

            esp_events.check(esps.account_of(settings.EMAIL_URL).esp)

        registry.composers["confirm"] = notices.compose_confirm
        registry.composers["goodbye"] = notices.compose_goodbye
        registry.composers["bounced"] = notices.compose_bounced
        registry.composers["link"] = notices.compose_link
        registry.composers["move"] = notices.compose_move
