from books.models import Author, Book
from django.db import IntegrityError, connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from journal.models import Entry


class RollbackTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.author = Author.objects.create(name="Of the class")

    def begin(self):
        self.assertEqual(Author.objects.count(), 3)
        Author.objects.create(name="Of the test")
        self.author.name = "changed"
        self.author.save()

    def test_one(self):
        self.begin()

    def test_two(self):
        self.begin()

    def test_on_commit_callbacks_are_captured(self):
        done = []
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: done.append(1))
        self.assertEqual(done, [1])

    def test_deferred_constraints_are_checked(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            Book.objects.create(title="Orphan", author_id=999)
            connection.check_constraints()

    async def test_async(self):
        self.assertEqual(await Author.objects.acount(), 3)


class SeveralRollbackTests(TestCase):
    databases = {"default", "journal", "replica"}

    def test_one(self):
        self.assertEqual(Entry.objects.count(), 0)
        Entry.objects.create(text="x")

    def test_two(self):
        self.test_one()


class FixtureTests(TestCase):
    fixtures = ["shelf.json"]

    def test_rows_of_the_fixture_are_there(self):
        self.assertEqual(Author.objects.count(), 3)


class NoDatabaseTests(SimpleTestCase):
    def test_no_database(self):
        with self.assertRaisesRegex(AssertionError, "not allowed"):
            Author.objects.count()


class AfterRollbacksTests(TransactionTestCase):
    def test_sequences_are_those_of_the_template(self):
        self.assertEqual(Author.objects.create(name="Cyd").pk, 3)
