"""The same with pytest-django: commits are real, and every test starts from the template."""

import threading

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from notes.models import Note

from freshpg.drivers.django import leased_database

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_migrations_have_run():
    assert [note.title for note in Note.objects.all()] == ["Welcome"]


def test_what_is_committed_is_seen_from_another_connection():
    Note.objects.create(title="Shopping")

    with leased_database().connect() as beside:
        assert beside.execute("SELECT count(*) FROM notes_note").fetchone() == (2,)


def test_the_next_note_has_the_same_number_in_every_test():
    assert Note.objects.create(title="Numbered").pk == 2


def test_on_commit_hooks_run_because_the_commit_is_real():
    called = []

    with transaction.atomic():
        Note.objects.create(title="Shopping")
        transaction.on_commit(lambda: called.append("committed"))

    assert called == ["committed"]


def test_a_title_is_unique_between_threads():
    def write() -> None:
        Note.objects.create(title="Only one")
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    writer.join()

    with pytest.raises(IntegrityError):
        Note.objects.create(title="Only one")


def test_the_models_need_no_further_migration():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
