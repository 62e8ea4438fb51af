"""Papers that members of a group recommend to each other."""

from django.db import models

from digest.models.papers import Paper
from subscriptions.models import Subscriber


class Recommendation(models.Model):
    """A paper that gets a place in the next digest of `receiver`, by a member of their group."""

    sender = models.ForeignKey(
        Subscriber, on_delete=models.DB_CASCADE, related_name="recommendations_sent"
    )
    receiver = models.ForeignKey(
        Subscriber, on_delete=models.DB_CASCADE, related_name="recommendations"
    )
    paper = models.ForeignKey(Paper, on_delete=models.DB_CASCADE, related_name="recommendations")
    sender_name = models.CharField(max_length=60)
    note = models.CharField(max_length=280, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["sender", "receiver", "paper"], name="one_recommendation_a_paper"
            ),
        ]

    def __str__(self):
        return f"{self.paper_id} for {self.receiver_id}"
