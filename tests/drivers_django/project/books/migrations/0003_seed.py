from django.contrib.postgres.operations import CreateExtension
from django.db import migrations


def seed(apps, schema_editor):
    author = apps.get_model("books", "Author")
    for name in ("Ada", "Bob"):
        author.objects.create(name=name)


class Migration(migrations.Migration):
    dependencies = [("books", "0002_reader")]
    operations = [CreateExtension("pg_trgm"), migrations.RunPython(seed)]
