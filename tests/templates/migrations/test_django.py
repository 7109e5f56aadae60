from pathlib import Path

import pytest

from freshpg.core.errors import MigrationFailed, MigrationMissing
from freshpg.postgres.admin import Admin
from freshpg.templates.migrations.base import Target
from freshpg.templates.migrations.django import DjangoStep

pytest.importorskip("django")

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["shop"]
USE_TZ = True
DATABASES = {
    "default": {"ENGINE": "django.db.backends.postgresql", "NAME": "production", "HOST": "db.invalid", "CONN_MAX_AGE": 5},
    "reports": {"ENGINE": "django.db.backends.postgresql", "NAME": "reports", "HOST": "db.invalid"},
}
"""
MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_of_ours.settings")\n'
MIGRATION = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = {dependencies}
    operations = [migrations.RunSQL("{statement}")]
"""


def migration(root: Path, name: str, statement: str, dependencies: str = "[]") -> None:
    path = root / "shop" / "migrations" / f"{name}.py"
    path.write_text(MIGRATION.format(statement=statement, dependencies=dependencies))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    for package in ("site_of_ours", "shop", "shop/migrations"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "manage.py").write_text(MANAGE)
    (tmp_path / "site_of_ours" / "settings.py").write_text(SETTINGS)
    migration(tmp_path, "0001_initial", "CREATE TABLE shop_order (id int)")
    return tmp_path


def test_migrations_are_applied_to_our_database_and_no_other(
    root: Path, target: Target, inside: Admin, deadline
) -> None:
    DjangoStep("django", "", root).apply(target, deadline)
    assert inside.rows("SELECT app, name FROM django_migrations") == [("shop", "0001_initial")]
    assert (
        inside.value("SELECT tableowner FROM pg_tables WHERE tablename = 'shop_order'")
        == "postgres"
    )


def test_a_failing_migration_shows_the_servers_words(root: Path, target: Target, deadline) -> None:
    migration(root, "0002_more", "ALTER TABLE nowhere ADD b int", "[('shop', '0001_initial')]")
    with pytest.raises(MigrationFailed) as caught:
        DjangoStep("django:site_of_ours.settings", "site_of_ours.settings", root).apply(
            target, deadline
        )
    assert caught.value.data["sqlstate"] == "42P01"
    assert "Applying shop.0002_more" in caught.value.seen


@pytest.mark.slow
def test_another_database_of_the_settings_is_out_of_reach(
    root: Path, target: Target, deadline
) -> None:
    (root / "shop" / "migrations" / "0002_more.py").write_text(
        "from django.db import connections, migrations\n"
        "def reach(apps, editor):\n"
        "    connections['reports'].cursor()\n"
        "class Migration(migrations.Migration):\n"
        "    dependencies = [('shop', '0001_initial')]\n"
        "    operations = [migrations.RunPython(reach)]\n"
    )
    with pytest.raises(MigrationFailed) as caught:
        DjangoStep("django", "", root).apply(target, deadline)
    assert caught.value.on == "shop/migrations/0002_more.py:3"
    assert "reports" in caught.value.seen


def test_options_of_the_settings_lead_nowhere_else(
    root: Path, target: Target, inside, deadline
) -> None:
    settings = root / "site_of_ours" / "settings.py"
    elsewhere = {"hostaddr": "192.0.2.1", "dbname": "production", "service": "production"}
    settings.write_text(f"{SETTINGS}\nDATABASES['default']['OPTIONS'] = {elsewhere}\n")

    DjangoStep("django", "", root).apply(target, deadline)

    assert inside.rows("SELECT app, name FROM django_migrations") == [("shop", "0001_initial")]


@pytest.mark.slow
def test_another_alias_is_migrated_as_the_routers_allow(
    root: Path, target: Target, inside: Admin, deadline
) -> None:
    settings = root / "site_of_ours" / "settings.py"
    settings.write_text(f"{SETTINGS}\nDATABASE_ROUTERS = ['site_of_ours.routers.Router']\n")
    (root / "site_of_ours" / "routers.py").write_text(
        "class Router:\n"
        "    def allow_migrate(self, db, app_label, **hints):\n"
        "        return db == 'reports'\n"
    )

    DjangoStep("django::reports", "", root, "reports").apply(target, deadline)

    assert inside.value("SELECT to_regclass('shop_order')::text") == "shop_order"


@pytest.mark.slow
def test_apps_without_migrations_get_their_tables(
    root: Path, target: Target, inside: Admin, deadline
) -> None:
    settings = root / "site_of_ours" / "settings.py"
    settings.write_text(f"{SETTINGS}\nINSTALLED_APPS += ['plain']\n")
    (root / "plain").mkdir()
    (root / "plain" / "models.py").write_text(
        "from django.db import models\nclass Thing(models.Model):\n    pass\n"
    )

    DjangoStep("django", "", root).apply(target, deadline)

    assert inside.value("SELECT to_regclass('plain_thing')::text") == "plain_thing"


@pytest.mark.parametrize(
    "name, matters",
    [
        ("plain/models.py", True),
        ("plain/models/thing.py", True),
        ("shop/models.py", False),
        ("site_of_ours/base.py", True),
        ("site_of_ours/routers.py", True),
        ("site_of_ours/unrelated.py", False),
    ],
)
def test_what_the_template_is_made_from_is_what_is_read(root: Path, name: str, matters) -> None:
    (root / "site_of_ours" / "settings.py").write_text(
        f"from .base import *\n{SETTINGS}\nDATABASE_ROUTERS = ['site_of_ours.routers.Router']\n"
    )
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("x = 1\n")
    before = DjangoStep("django", "", root).inputs()

    (root / name).write_text("x = 2\n")

    assert (DjangoStep("django", "", root).inputs() != before) is matters


def test_migrations_are_a_history_and_the_settings_are_fixed(root: Path) -> None:
    step = DjangoStep("django", "", root)
    before = step.inputs()
    migration(root, "0002_more", "SELECT 1", "[('shop', '0001_initial')]")
    after = step.inputs()
    assert after.fixed == before.fixed
    assert {one.name for one in after.history} - {one.name for one in before.history} == {
        "shop/migrations/0002_more.py"
    }


def test_a_project_without_settings_is_told_how_to_name_them(root: Path) -> None:
    with pytest.raises(MigrationMissing) as caught:
        DjangoStep("django:nowhere.settings", "nowhere.settings", root).inputs()
    assert "nowhere.settings" in caught.value.seen
    (root / "manage.py").unlink()
    with pytest.raises(MigrationMissing) as caught:
        DjangoStep("django", "", root).inputs()
    assert "django:project.settings" in caught.value.todo[0]
