"""The suppression list, the counters of rate limits and API tokens: keyed hashes only."""

from django.db import models

from subscriptions.models.subscribers import Subscriber


class Seal(models.Model):
    """A suppressed address, as a keyed hash. See suppression_list.py."""

    class Reason(models.TextChoices):
        COMPLAINED = "complained", "spam report"
        BOUNCED = "bounced", "bounced"
        ASKED = "asked", "asked never to get email"
        OPERATOR = "operator", "blocked by an operator"
        INVITED = "invited", "was invited"

    seal = models.CharField(max_length=64, primary_key=True, editable=False)
    reason = models.CharField(max_length=10, choices=Reason)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "blocked address"
        verbose_name_plural = "blocked addresses"
        ordering = ["-at"]

    def __str__(self):
        return f"{self.seal[:8]}…: {self.get_reason_display()}"


class Attempt(models.Model):
    """One attempt that a rate limit counts. See rate_limits.py."""

    key = models.CharField(max_length=32, help_text="A keyed hash of the door and who knocked.")
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["key", "at"], name="attempts_of_one")]

    def __str__(self):
        return f"{self.key} {self.at:%Y-%m-%d %H:%M}"


class ApiToken(models.Model):
    """A subscriber's token for the API, as a keyed hash. See views/api.py of the digest app."""

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.DB_CASCADE, related_name="api_token"
    )
    hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField()

    def __str__(self):
        return f"API token of {self.subscriber_id}"
