"""Invitations, and groups whose members share papers."""

from django.db import models

from subscriptions.models.subscribers import Subscriber


class Invitation(models.Model):
    """An operator's invitation of an address. Deleted with its subscriber."""

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.DB_CASCADE, related_name="invitation"
    )
    invited_by = models.CharField(max_length=150, help_text="The inviting account.")
    name = models.CharField(max_length=60, blank=True, default="", db_default="")
    note = models.TextField(blank=True, default="", db_default="")
    papers = models.JSONField(
        null=True, help_text="Examples in the email: the title, authors and URL of each."
    )
    at = models.DateTimeField()
    reminded_at = models.DateTimeField(null=True, blank=True)

    def __str__(self):
        return f"Invitation of {self.subscriber_id}"


class Group(models.Model):
    """A lab or team. Its digest has the best papers of its members.

    The digest goes to `channel` and `mailing_list`, which are subscribers: their hour, days and
    size apply, and each has its own record of sent papers.
    """

    name = models.CharField(max_length=100, unique=True)
    channel = models.OneToOneField(
        Subscriber,
        null=True,
        blank=True,
        on_delete=models.DB_SET_NULL,
        limit_choices_to=~models.Q(channel=""),
        related_name="group_of_channel",
    )
    mailing_list = models.OneToOneField(
        Subscriber,
        null=True,
        blank=True,
        on_delete=models.DB_SET_NULL,
        related_name="group_of_list",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class MembershipQuerySet(models.QuerySet):
    def joined(self):
        """Filter by memberships with consent, of subscribers who get digests."""
        subscribed = Subscriber.objects.subscribed().filter(pk=models.OuterRef("subscriber"))
        return self.filter(models.Exists(subscribed), joined_at__isnull=False)


class Membership(models.Model):
    """An operator's invitation of a subscriber to a group, and their consent (`joined_at`)."""

    group = models.ForeignKey(Group, on_delete=models.DB_CASCADE, related_name="memberships")
    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.DB_CASCADE, related_name="memberships"
    )
    name = models.CharField(
        max_length=60, blank=True, help_text="How the other members see them, by their own choice."
    )
    invited_at = models.DateTimeField()
    joined_at = models.DateTimeField(null=True, blank=True)
    takes_recommendations = models.BooleanField(default=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group", "subscriber"], name="one_membership_a_group"),
        ]

    def __str__(self):
        return f"{self.subscriber_id} in {self.group_id}"

    def members(self) -> MembershipQuerySet:
        """Return what this member may see: those who joined, if they joined themselves."""
        memberships = self.group.memberships.joined().order_by("name", "pk")
        return memberships if memberships.filter(pk=self.pk).exists() else memberships.none()
