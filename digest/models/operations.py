"""Heartbeats, daily counts and alarms."""

from django.db import models
from django.db.models import Q


class Heartbeat(models.Model):
    """When a recurring job last ran."""

    name = models.CharField(primary_key=True, max_length=20)
    at = models.DateTimeField()

    def __str__(self):
        return f"{self.name} at {self.at:%Y-%m-%d %H:%M:%S}"


class DailyCount(models.Model):
    """The counts of one day (UTC) by one measure: see digest/operations/daily_stats.py."""

    day = models.DateField()
    measure = models.CharField(max_length=20)
    counts = models.JSONField(default=dict, blank=True)
    counted_at = models.DateTimeField()

    class Meta:
        ordering = ["day", "measure"]
        constraints = [
            models.UniqueConstraint(fields=["day", "measure"], name="one_tally_a_day_and_measure"),
        ]

    def __str__(self):
        return f"{self.measure} of {self.day}"


class AlarmQuerySet(models.QuerySet):
    def standing(self):
        """Alarms that have not ended."""
        return self.filter(ended_at=None)


class Alarm(models.Model):
    """Something that was wrong for a time."""

    name = models.CharField(max_length=20, help_text="The heading of its entry in the runbook.")
    subject = models.CharField(max_length=200, blank=True, help_text="Of several, which one.")
    text = models.CharField(max_length=500)
    raised_at = models.DateTimeField()
    holds_until = models.DateTimeField(help_text="It ends then, unless it is seen again.")
    ended_at = models.DateTimeField(null=True, blank=True)
    # Of its beginning.
    notified_at = models.DateTimeField(null=True, blank=True)
    end_notified_at = models.DateTimeField(null=True, blank=True)

    objects = AlarmQuerySet.as_manager()

    class Meta:
        ordering = ["-raised_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "subject"], condition=Q(ended_at=None), name="one_alarm_at_a_time"
            )
        ]

    def __str__(self):
        return f"{self.name} {self.subject}".strip()
