"""The test email of operators, which has no subscriber."""

from dataclasses import replace

from django.conf import settings
from django.utils.crypto import get_random_string

from subscriptions import addresses
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import hand_over, transport_for
from subscriptions.mail import render


def send_test_email(address: str, now, content: render.Content | None = None) -> tuple[bool, str]:
    """Hand an email to the mail server. Return whether it was accepted, and the reply."""
    if content is None:
        # With the headers of a digest, to see whether the mail server signs them.
        headers = render.headers("digest", f"{settings.SITE_URL}/unsubscribe/test/")
        content = replace(render.render("test", {}), headers=headers)
    recipient = addresses.normalise(address)
    message_id = f"<test.{get_random_string(20)}@{settings.MAIL_DOMAIN}>"
    mime = render.as_bytes(content, to=recipient, message_id=message_id, date=now)
    message = Message(render.from_address().addr_spec, recipient, mime, "test", 0, now)
    result = hand_over(transport_for(settings.EMAIL_URL), message)
    return result.status == "accepted", f"{result.status} at {result.stage}: {result.reply}"
