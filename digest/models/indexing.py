"""The files of the ranking's model and of the search index."""

from django.db import models

from digest.numbers import counted


class FittedModel(models.Model):
    """The file of the ranking's model. The last row is the one in use."""

    fitted_at = models.DateTimeField()
    name = models.CharField("file", max_length=200, help_text="In the storage.")
    sha256 = models.CharField(max_length=64)
    documents = models.PositiveIntegerField("papers indexed")
    terms = models.PositiveIntegerField()

    class Meta:
        verbose_name = "ranking model"
        ordering = ["-pk"]

    def __str__(self):
        return f"Model of {self.fitted_at:%Y-%m-%d %H:%M}"

    @property
    def size_text(self) -> str:
        return f"{counted(self.documents, 'paper')}, {counted(self.terms, 'term')}"


class ArchiveFile(models.Model):
    """The file of the search index. The last row is the one in use."""

    written_at = models.DateTimeField(help_text="Begun at this moment: what came later isn't in.")
    name = models.CharField(max_length=200, help_text="Where it lies in the storage.")
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    sha256 = models.CharField(max_length=64)
    papers = models.PositiveIntegerField()
    changed_at = models.DateTimeField(null=True, help_text="The last change of a paper in it.")

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return f"Archive of {self.written_at:%Y-%m-%d %H:%M}"
