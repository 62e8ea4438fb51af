"""Messages of operators to subscribers."""

from django.db import models
from django.db.models import F, Q

from subscriptions.models.groups import Group


class MessageQuerySet(models.QuerySet):
    def unwritten(self, now):
        """Filter by messages that have started, and whose emails are not all created."""
        return self.filter(starts_at__lte=now, stopped_at=None, written_at=None)

    def since(self, moment):
        """Filter by messages that start after `moment`, unless they were stopped before."""
        is_sent = Q(stopped_at=None) | Q(stopped_at__gte=F("starts_at"))
        return self.filter(is_sent, starts_at__gt=moment)


class Message(models.Model):
    """A text for all active subscribers, or for the members of a group.

    delivery/messages.py creates its emails, which are letters of kind "message".
    """

    subject = models.CharField(max_length=120)
    text = models.TextField(max_length=10_000)
    # A message without its group would go to all subscribers, so it is deleted with the group.
    group = models.ForeignKey(Group, null=True, blank=True, on_delete=models.DB_CASCADE)
    written_by = models.CharField("by", max_length=150)
    receivers = models.PositiveIntegerField(help_text="As the operator confirmed.")
    # In whole minutes and unique: a form that is sent twice starts one message.
    starts_at = models.DateTimeField(unique=True)
    last_subscriber = models.BigIntegerField(default=0)  # Emails are created in the order of ids.
    written_at = models.DateTimeField(null=True, help_text="When its last email was created.")
    stopped_at = models.DateTimeField(null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [("send_message", "Can send messages to subscribers")]

    def __str__(self):
        return self.subject

    def state_at(self, now) -> str:
        if self.stopped_at is not None:
            return "stopped"
        if self.starts_at > now:
            return "scheduled"
        is_open = self.letters.open().filter(kind="message", day=None).exists()
        return "being sent" if is_open or self.written_at is None else "sent"
