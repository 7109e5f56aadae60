from django.db import migrations, models


def write_welcome(apps, schema_editor):
    apps.get_model("notes", "Note").objects.create(title="Welcome", pinned=True)


class Migration(migrations.Migration):
    dependencies = (("notes", "0001_initial"),)
    operations = (
        migrations.AddField("note", "pinned", models.BooleanField(default=False)),
        migrations.AlterModelOptions("note", {"ordering": ("-pinned", "title")}),
        migrations.RunPython(write_welcome, migrations.RunPython.noop),
    )
