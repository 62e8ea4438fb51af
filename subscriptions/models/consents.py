"""The record of consent, and changes of address that wait for consent."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from subscriptions.models.letters import Letter
from subscriptions.models.subscribers import Subscriber


class Consent(models.Model):
    """One consent or withdrawal: when, by which form or link, and to which words."""

    class Act(models.TextChoices):
        ASKED = "asked", "signed up"
        CONFIRMED = "confirmed", "confirmed the address"
        UNSUBSCRIBED = "unsubscribed"
        MOVED = "moved", "changed address"
        JOINED = "joined", "joined a group"
        LEFT = "left", "left a group"

    class Reason(models.TextChoices):
        TOO_MANY = "many", _("Too many emails")
        IRRELEVANT = "other-field", _("The papers don’t fit my interests")
        NOT_NEEDED = "not-needed", _("I no longer need it")
        OTHER = "other", _("Another reason")

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="consents")
    act = models.CharField(max_length=12, choices=Act)
    at = models.DateTimeField()
    via = models.CharField(max_length=60, help_text="The form, link or mail program.")
    ip = models.GenericIPAddressField("IP address", null=True, blank=True)
    wording = models.TextField(blank=True, help_text="The text that they agreed to.")
    reason = models.CharField(
        max_length=12, choices=Reason, blank=True, db_default="", help_text="Why they unsubscribed."
    )

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self):
        return f"{self.act} {self.at:%Y-%m-%d %H:%M}"


class MoveQuerySet(models.QuerySet):
    def forget(self) -> int:
        """Delete them, and the addresses in their letters. Return how many were deleted."""
        letters = Letter.objects.filter(subscriber__in=self.values("subscriber"), kind="move")
        letters.exclude(state__in=Letter.OPEN).exclude(to="").update(to=Letter.FORGOTTEN_ADDRESS)
        return self.delete()[0]


class Move(models.Model):
    """A requested change of address. See change_address.py."""

    subscriber = models.OneToOneField(Subscriber, on_delete=models.CASCADE, related_name="move")
    new_email = models.EmailField(max_length=254)
    asked_at = models.DateTimeField()
    old_agreed_at = models.DateTimeField(null=True, blank=True)
    new_agreed_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    objects = MoveQuerySet.as_manager()

    def __str__(self):
        return f"Move of {self.subscriber_id}"

    def has_agreed(self, side: str) -> bool:
        """Return whether the "old" or the "new" address (`side`) has confirmed it."""
        return getattr(self, f"{side}_agreed_at") is not None
