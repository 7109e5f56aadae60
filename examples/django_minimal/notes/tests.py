"""Django's own test cases; `python manage.py test` runs these."""

from django.db import transaction
from django.test import TestCase, TransactionTestCase

from notes.models import Note


class PinnedNotes(TestCase):
    """Each test is a transaction that is rolled back."""

    def test_pinned_notes_come_first(self):
        Note.objects.create(title="A note")
        self.assertEqual([note.title for note in Note.objects.all()], ["Welcome", "A note"])


class CommittedNotes(TransactionTestCase):
    """Each test commits; the next one has the template again, with the row of the migration."""

    def test_the_next_note_has_the_same_number_in_every_test(self):
        self.assertEqual(Note.objects.create(title="Numbered").pk, 2)

    def test_on_commit_hooks_run(self):
        called = []
        with transaction.atomic():
            self.assertEqual(Note.objects.create(title="Shopping").pk, 2)
            transaction.on_commit(lambda: called.append("committed"))
        self.assertEqual(called, ["committed"])
