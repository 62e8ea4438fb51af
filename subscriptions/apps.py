from django.apps import AppConfig
from django.conf import settings


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    verbose_name = "Subscriptions"

    def ready(self):
        from subscriptions import mail, notices, registry
        from subscriptions.post import esps, mailboxes, oracles, verp
        from subscriptions.post.transports import transport_for

        transport_for(settings.EMAIL_URL)  # Refuse what can't be, before letters are lost to it.
        mail.check()
        verp.check()
        if settings.BOUNCE_MAILBOX:
            mailboxes.open_mailbox(settings.BOUNCE_MAILBOX)
        oracles.ours()
        if (esp := esps.esp_of(settings.EMAIL_URL)) and esp.is_guarded:
            from subscriptions.post import esp_events  # And with it, anymail.

            esp_events.check(esp)

        registry.composers["confirm"] = notices.compose_confirm
        registry.composers["goodbye"] = notices.compose_goodbye
        registry.composers["bounced"] = notices.compose_bounced
        registry.composers["link"] = notices.compose_link
        registry.composers["move"] = notices.compose_move
