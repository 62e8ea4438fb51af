from django.apps import AppConfig
from django.conf import settings


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    verbose_name = "Subscriptions"

    def ready(self):
        from subscriptions import mail, notices, registry
        from subscriptions.post import esps, mailboxes, oracles, verp
        from subscriptions.post.transports import transport_for

        transport_for(settings.EMAIL_URL)  # Refuse a wrong address before letters are lost to it.
        mail.check()
        verp.check()
        if settings.BOUNCE_MAILBOX:
            mailboxes.open_mailbox(settings.BOUNCE_MAILBOX)
        oracles.ours()
        if (esp := esps.esp_of(settings.EMAIL_URL)) and esp.is_guarded:
            from subscriptions.post import esp_events  # It imports anymail.

            esp_events.check(esp)

        registry.composers |= notices.COMPOSERS
