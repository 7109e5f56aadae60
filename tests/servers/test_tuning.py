from __future__ import annotations

import subprocess

import pytest

from freshpg.core.errors import SettingsInvalid
from freshpg.servers import tuning
from freshpg.servers.tuning import Listening


def values(major, **options):
    return {setting.name: setting.value for setting in tuning.throwaway(major, **options)}


def test_every_setting_has_its_reason():
    assert all(setting.reason for setting in (*tuning.throwaway(18), *Listening("/s").settings()))


def test_settings_a_version_does_not_know_are_left_out():
    assert values(18)["io_method"] == "sync"
    assert "io_method" not in values(17)


def test_every_version_at_hand_takes_them_all(binaries):
    every = (*tuning.throwaway(binaries.version.major), *Listening("/nowhere").settings())
    for setting in every:
        shown = subprocess.run(
            [str(binaries.program("postgres")), "--describe-config"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        names = {line.split("\t")[0] for line in shown.splitlines()}
        assert setting.name in names
        break
    assert {setting.name for setting in every} <= names


def test_a_user_wins_over_us():
    found = values(
        18, overrides={"fsync": True, "shared_buffers": "64MB", "work_mem": 65536, "app.mode": "x"}
    )
    assert (found["fsync"], found["shared_buffers"], found["work_mem"], found["app.mode"]) == (
        "on",
        "64MB",
        "65536",
        "x",
    )


def test_a_server_of_ones_own_may_replicate_and_commit_in_two_phases():
    found = values(18, replicating=True)
    assert found["wal_level"] == "logical"
    assert int(found["max_wal_senders"]) > 0
    assert int(found["max_prepared_transactions"]) > 0


def test_senders_bring_the_wal_level_they_need():
    assert values(18, overrides={"max_wal_senders": 2})["wal_level"] == "replica"
    assert (
        values(18, overrides={"max_wal_senders": 2, "wal_level": "logical"})["wal_level"]
        == "logical"
    )


@pytest.mark.parametrize(
    "name",
    [
        "listen_addresses",
        "port",
        "unix_socket_directories",
        "hba_file",
        "x y",
        "",
        "fsync=off -c x",
        "FSYNC",
    ],
)
def test_what_keeps_the_server_private_cannot_be_overridden(name):
    with pytest.raises(SettingsInvalid) as refused:
        tuning.throwaway(18, overrides={name: "x"})
    assert refused.value.name == name


def test_nothing_listens_on_a_network_unless_asked():
    listening = {setting.name: setting.value for setting in Listening("/s").settings()}
    assert listening["listen_addresses"] == ""
    assert {s.name: s.value for s in Listening("/s", 5440, tcp=True).settings()}[
        "listen_addresses"
    ] == "127.0.0.1"
