"""What readers say of papers, and what is learned from it."""

from datetime import timedelta

from django.db import models
from django.db.models import F, Q

from digest.models.papers import Paper
from subscriptions.models import Subscriber


class Feedback(models.Model):
    """What one subscriber said of one paper."""

    class Value(models.TextChoices):
        MORE = "more", "more like this"
        LESS = "less", "less like this"
        SAVE = "save", "saved"

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="feedback")
    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="feedback")
    value = models.CharField(max_length=4, choices=Value)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]
        verbose_name_plural = "feedback"
        indexes = [models.Index(fields=["at"], name="feedback_at")]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "paper"], name="one_word_a_paper"),
        ]

    def __str__(self):
        return f"{self.paper_id}: {self.get_value_display()}"


class LibraryPaper(models.Model):
    """A paper that a reader knows, from a bibliography of hers: her digests learn from it.

    It needs not be one of ours: what is learned from is its text.
    """

    subscriber = models.ForeignKey(
        # The database's: the version before, which doesn't know this table, erases readers, too.
        Subscriber,
        on_delete=models.DB_CASCADE,
        related_name="library",
    )
    identity = models.CharField(max_length=100, help_text="As a paper's id, or made of its title.")
    title = models.TextField()
    abstract = models.TextField(blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    at = models.DateTimeField(help_text="When it was added.")

    class Meta:
        ordering = [F("year").desc(nulls_last=True), "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "identity"], name="one_copy_a_library"),
        ]

    def __str__(self):
        return self.title


class LibraryUpload(models.Model):
    """The last upload that added papers to a library, as long as it can be undone."""

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.DB_CASCADE, related_name="library_upload"
    )
    added = models.JSONField(help_text="Identities of the papers that it added.")
    displaced = models.JSONField(
        help_text="Papers that it replaced by ones with an abstract, or by later ones."
    )

    def __str__(self):
        return f"Last upload of {self.subscriber_id}"


class ReaderModelQuerySet(models.QuerySet):
    def outdated(self, now):
        """Those to be fitted: something was said since they were, or it is too long ago."""
        old = Q(fitted_at__lt=now - ReaderModel.FRESH)
        return self.filter(~Q(learned=F("said")) | old, subscriber__learns=True)


class ReaderModel(models.Model):
    """What one reader's more, less and saved teach the ranking: words with weights.

    See digest.ranking.relevance_feedback. Fitted apart from the planning of digests.
    """

    FRESH = timedelta(days=14)  # The corpus moves on, and the weights of words with it.

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.CASCADE, related_name="reader_model"
    )
    said = models.PositiveIntegerField(
        default=1, help_text="How often she has said something, or removed a word."
    )
    learned = models.PositiveIntegerField(default=0, help_text="How much of it is in these words.")
    fitted_at = models.DateTimeField(null=True, blank=True)
    terms = models.JSONField(
        default=list, blank=True, help_text="Stems, in the order in which they are told."
    )
    words = models.JSONField(default=list, blank=True, help_text="As people write them.")
    weights = models.JSONField(default=list, blank=True)
    liked = models.PositiveIntegerField(default=0, help_text="How many papers she liked.")
    floor = models.FloatField(
        null=True, blank=True, help_text="A paper with this score is like those that she liked."
    )
    removed = models.JSONField(
        default=dict,
        blank=True,
        help_text="Stems that she doesn't want to be known for, each with its word.",
    )

    objects = ReaderModelQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["fitted_at"], name="reader_model_fitted_at")]

    def __str__(self):
        return f"Model of {self.subscriber_id}"
