"""Papers that members of a group recommend to each other."""

from datetime import timedelta

from django.db import models
from django.db.models import Exists, OuterRef

from digest.models.digests import Pick
from digest.models.papers import Paper
from subscriptions.models import Membership, Subscriber

KEEP_RECOMMENDATIONS = timedelta(days=90)


class RecommendationQuerySet(models.QuerySet):
    def valid(self):
        """Filter by those whose sender and receiver are members of one group today.

        The receiver gets digests and takes recommendations.
        """
        members = Membership.objects.joined()
        sender = members.filter(group=OuterRef("group"), subscriber=OuterRef(OuterRef("sender")))
        receiver = members.filter(Exists(sender), subscriber=OuterRef("receiver"))
        return self.filter(Exists(receiver.filter(takes_recommendations=True)))

    def outdated(self, now):
        """Filter by those to delete: the old, and those that are no longer valid."""
        recent = self.valid().filter(at__gte=now - KEEP_RECOMMENDATIONS)
        return self.exclude(pk__in=recent.values("pk"))


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

    objects = RecommendationQuerySet.as_manager()

    class Meta:
        ordering = ["at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["sender", "receiver", "paper"], name="one_recommendation_a_paper"
            ),
        ]

    def __str__(self):
        return f"{self.paper_id} for {self.receiver_id}"

    def forget(self) -> None:
        """Delete it, and its name and note from the receiver's digest."""
        picks = Pick.objects.filter(subscriber=self.receiver_id, paper=self.paper_id)
        picks = picks.filter(basis=Pick.Basis.ADVICE, topic_name=self.sender_name)
        picks.update(topic_name="", terms=[])
        self.delete()
