"""What a refusal says, that nothing overrides it, and that the cluster behind an address is part of the proof."""

import pickle
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import click
import pytest

from freshpg.cli import app as main
from freshpg.core.errors import FreshpgError, NotOurs
from freshpg.core.settings import Settings
from freshpg.isolation.audit.inside import Inside
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark
from freshpg.postgres.strangers import reason


@pytest.mark.parametrize(
    "comment, words",
    [
        (None, "does not carry freshpg's mark"),
        ("", "does not carry freshpg's mark"),
        ("production!", "its comment is 'production!'"),
        (Mark("slot", "main", oid=7, system="1").to_comment(), "number 7, and this is number 8"),
        (Mark("slot", "main", oid=8, system="2").to_comment(), "cluster 2"),
    ],
)
def test_why_a_database_looks_like_somebodys_is_said(comment, words):
    assert words in reason(comment, 8, "1")


def test_the_refusal_names_server_database_size_owner_and_reason(there):
    there.make("customers", comment="do not touch")
    secret = there.address.with_(dbname="customers", password="s3cr3t")
    for act in (
        lambda: Databases(there.admin).drop("customers"),
        lambda: Inside.open(secret, own=False),
    ):
        with pytest.raises(NotOurs) as caught:
            act()
        error = pickle.loads(pickle.dumps(caught.value))
        said = str(error)
        for words in ("customers", there.address.host, there.admin.system, " MB", "freshpg_admin", "do not touch"):  # fmt: skip
            assert words in said
        assert "s3cr3t" not in said
        assert error.size > 2**20
        assert error.owner == "freshpg_admin"


def test_no_setting_and_no_option_asks_to_be_trusted():
    words = ("force", "override", "unsafe", "ignore", "adopt", "trust", "danger", "any_database")
    names = [field.name for field in fields(Settings)]
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        names += [f"{name} {option}" for one in command.params for option in one.opts]
    assert len(names) > 20
    # That one ends servers of our own that are in use.
    found = {name for name in names if any(word in name.lower() for word in words)}
    assert found <= {"down --force"}


@pytest.mark.parametrize("level", ["clone", "reset", "rollback"])
def test_an_address_that_leads_to_another_cluster_does_no_harm_there(
    make_manager, there, tmp_path, other, level
):
    # The copy of a comment came with a dump; the name is the same.
    link = Path(f"/dev/shm/freshpg-link-{level}")
    link.symlink_to(there.address.host)
    try:
        manager = make_manager(address=there.address.with_(host=str(link)))
        database = manager.acquire("main", isolation=level)
        other.make(database.name, comment=there.comment(database.name))
        before = other.state(database.name)
        link.unlink()
        link.symlink_to(other.address.host)
        there.rename(database.name, "gone_elsewhere")
        # Refused, or made anew through the session that still stands where it should.
        with suppress(FreshpgError):
            database.reset()
        assert other.state(database.name) == before
        link.unlink()
        link.symlink_to(there.address.host)
    finally:
        link.unlink()
        other.clear("somebody_model")
