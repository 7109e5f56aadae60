"""Notes, some of them pinned."""

from django.db import models


class Note(models.Model):
    """A short text; no two have the same title."""

    title = models.CharField(max_length=100, unique=True)
    text = models.TextField(blank=True)
    pinned = models.BooleanField(default=False)

    class Meta:
        ordering = ("-pinned", "title")

    def __str__(self) -> str:
        return self.title
