from django.apps import AppConfig
from django.conf import settings


class SubscriptionsConfig(AppConfig):
    name = "subscriptions"
    verbose_name = "Subscriptions"

    def ready(self):
        from subscriptions.bounces import mailboxes
        from subscriptions.delivery import verp
        from subscriptions.delivery.transports import esps
        from subscriptions.delivery.transports.registry import transport_for
        from subscriptions.mail import render
        from subscriptions.notices import compose  # noqa: F401, it registers its composers.

        transport_for(settings.EMAIL_URL)  # Refuse a wrong address before letters are lost to it.
        render.check()
        verp.check()
        if settings.BOUNCE_MAILBOX:
            mailboxes.mailbox_for(settings.BOUNCE_MAILBOX)
        if (esp := esps.esp_of(settings.EMAIL_URL)) and esp.authenticates_events:
            from subscriptions.bounces import esp_events  # It imports anymail.

            esp_events.check(esp)
