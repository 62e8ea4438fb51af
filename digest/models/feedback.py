"""Feedback on papers, libraries, and what is learned from them."""

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from digest.models.papers import Paper
from subscriptions.models import Subscriber, Topic


class FeedbackQuerySet(models.QuerySet):
    def saved(self):
        """Filter by papers on the reading list."""
        return self.filter(saved_at__isnull=False)


class Feedback(models.Model):
    """A subscriber's feedback on one paper: an opinion, and whether it is on their reading list.

    `value` is the opinion. It is "save" for a paper that is saved without one.
    """

    class Value(models.TextChoices):
        MORE = "more", "more like this"
        LESS = "less", "less like this"
        SAVE = "save", "saved"

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="feedback")
    paper = models.ForeignKey(Paper, on_delete=models.CASCADE, related_name="feedback")
    value = models.CharField(max_length=4, choices=Value)
    at = models.DateTimeField()
    saved_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True, help_text="When it was marked as read.")
    note = models.CharField(max_length=280, blank=True, default="", db_default="")
    labels = models.CharField(
        max_length=160, blank=True, default="", db_default="", help_text="Separated by commas."
    )

    objects = FeedbackQuerySet.as_manager()

    class Meta:
        ordering = ["-at"]
        verbose_name_plural = "feedback"
        indexes = [models.Index(fields=["at"], name="feedback_at")]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "paper"], name="one_word_a_paper"),
        ]

    def __str__(self):
        return f"{self.paper_id}: {self.get_value_display()}"

    @property
    def opinion(self) -> str:
        """Return "more", "less", or an empty string."""
        return "" if self.value == self.Value.SAVE else self.value

    @property
    def label_list(self) -> list[str]:
        return self.labels.split(", ") if self.labels else []


class AddedPaper(models.Model):
    """The text of a paper that a subscriber added as an interest, or the papers of an ORCID.

    It belongs to the interest and is deleted with it. It is no Paper, which all can see.
    """

    topic = models.OneToOneField(Topic, on_delete=models.CASCADE, related_name="added_paper")
    title = models.TextField(blank=True)
    abstract = models.TextField(blank=True)
    works = models.JSONField(
        default=list, blank=True, help_text="Of an ORCID: the title and the reference of each."
    )
    tries = models.PositiveSmallIntegerField(default=0, help_text="Failed look-ups.")
    due_at = models.DateTimeField(
        null=True, blank=True, db_index=True, help_text="When it is looked up again."
    )

    def __str__(self):
        return self.title or self.topic.query


class LibraryPaper(models.Model):
    """A paper of a subscriber's bibliography, from whose text their digests learn.

    There need not be such a Paper.
    """

    subscriber = models.ForeignKey(Subscriber, on_delete=models.DB_CASCADE, related_name="library")
    identity = models.CharField(max_length=100, help_text="As a paper's id, or made of its title.")
    title = models.TextField()
    abstract = models.TextField(blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    at = models.DateTimeField(help_text="When it was added.")
    zotero_key = models.CharField(
        max_length=16, blank=True, default="", db_default="", help_text="Of its item in Zotero."
    )

    class Meta:
        ordering = [F("year").desc(nulls_last=True), "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "identity"], name="one_copy_a_library"),
        ]

    def __str__(self):
        return self.title


class LibraryUpload(models.Model):
    """The last upload to a library, while it can be undone."""

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.DB_CASCADE, related_name="library_upload"
    )
    added = models.JSONField(help_text="Identities of the papers that it added.")
    displaced = models.JSONField(
        help_text="Papers that it replaced by ones with an abstract, or by later ones."
    )

    def __str__(self):
        return f"Last upload of {self.subscriber_id}"


class ZoteroLibrary(models.Model):
    """A Zotero library whose papers are kept in a subscriber's library.

    See digest/personalization/zotero.py.
    """

    class Problem(models.TextChoices):
        REFUSED = "refused", _("Zotero refuses access. Make the library public, or enter a key.")
        MISSING = "missing", _("Zotero has no such library. Check the address or number.")
        KEY = "key", _("The saved key can no longer be decrypted. Enter it again.")
        UNAVAILABLE = "unavailable", _("Zotero could not be reached. Paperboy tries again.")
        UNREADABLE = (
            "unreadable",
            _("Zotero’s answer could not be read. If this continues, tell the operator."),
        )

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.DB_CASCADE, related_name="zotero_library"
    )
    path = models.CharField(max_length=40, help_text="Such as users/475425 or groups/2373.")
    secret = models.TextField(
        blank=True, editable=False, help_text="Encrypted read-only key of a private library."
    )
    version = models.PositiveIntegerField(
        default=0, help_text="That was read. 0: the next read is of the whole library."
    )
    read_at = models.DateTimeField(null=True, blank=True, help_text="When it was last read.")
    next_read_at = models.DateTimeField(db_index=True)
    problem = models.CharField(max_length=20, choices=Problem, blank=True)

    def __str__(self):
        return self.path


class ReaderModelQuerySet(models.QuerySet):
    def outdated(self, now):
        """Models to be fitted: there is new feedback, or the last fit is too old."""
        old = Q(fitted_at__lt=now - ReaderModel.MAX_FIT_AGE)
        return self.filter(~Q(fitted_count=F("feedback_count")) | old, subscriber__learns=True)


class ReaderModel(models.Model):
    """Words with weights that are learned from a subscriber's feedback and library.

    See digest.ranking.relevance_feedback. Fitted by a task of its own.
    """

    MAX_FIT_AGE = timedelta(days=14)  # The weights depend on the corpus.

    subscriber = models.OneToOneField(
        Subscriber, on_delete=models.CASCADE, related_name="reader_model"
    )
    feedback_count = models.PositiveIntegerField(
        default=1, help_text="Number of feedback actions and removed words."
    )
    fitted_count = models.PositiveIntegerField(
        default=0, help_text="How much of it is in these words."
    )
    fitted_at = models.DateTimeField(null=True, blank=True)
    terms = models.JSONField(
        default=list, blank=True, help_text="Stems, in the order in which they are shown."
    )
    words = models.JSONField(default=list, blank=True, help_text="As people write them.")
    weights = models.JSONField(default=list, blank=True)
    liked = models.PositiveIntegerField(
        default=0, help_text="Number of papers with positive feedback."
    )
    removed = models.JSONField(
        default=dict,
        blank=True,
        help_text="Stems that the subscriber removed, each with its word.",
    )

    objects = ReaderModelQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["fitted_at"], name="reader_model_fitted_at")]

    def __str__(self):
        return f"Model of {self.subscriber_id}"
