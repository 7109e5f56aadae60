"""Variables, directories, masks: what a shell or a container hands to a program."""

from __future__ import annotations

import os

import pytest

LONG = "x" * 150
STRANGE = 'é it\'s "quoted" b'
SERVICE = "[elsewhere]\nhost=nowhere.invalid\nhostaddr=192.0.2.1\nsslmode=verify-full\noptions=-c role=nobody\n"
VARIABLES = {
    "PGHOST": "/nowhere", "PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "nothing",
    "PGOPTIONS": "-c role=nobody -c default_transaction_read_only=on", "PGDATA": "/nowhere", "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct", "PGSSLROOTCERT": "system", "PGGSSENCMODE": "require", "PGREQUIREPEER": "daemon",
    "PGREQUIREAUTH": "scram-sha-256", "PGCHANNELBINDING": "require", "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "LATIN1", "PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German", "PGSYSCONFDIR": "/nowhere",
    "PGPASSFILE": "/nowhere", "PGAPPNAME": "x" * 100,
}  # fmt: skip


@pytest.mark.parametrize(
    "home",
    [
        None,
        *(
            pytest.param(home, marks=pytest.mark.slow)
            for home in ("/nonexistent", "/proc", "relative", "")
        ),
    ],
)
def test_a_home_that_is_no_home(ground, home):
    told = ground.visit(HOME=home, TMPDIR=ground.runtime, FRESHPG_CACHE=None)
    assert told.customers == 2


def test_a_home_that_cannot_be_written(ground, nobody):
    home = ground.base / "home"
    home.mkdir(mode=0o555)
    told = ground.visit(
        uid=nobody,
        HOME=home,
        FRESHPG_CACHE=None,
        mounts=f"mount -t tmpfs -o mode=1777 tmpfs {ground.runtime}",
    )
    assert told.customers == 2
    assert not list(home.iterdir())


@pytest.mark.parametrize("name", [LONG, STRANGE], ids=["150 bytes", "strange characters"])
def test_a_runtime_root_of_any_name(ground, name):
    place = ground.runtime / name
    place.mkdir()
    place.chmod(0o711)
    ground.warm()
    told = ground.visit(FRESHPG_RUNTIME=place)
    assert told.customers == 2
    assert len(os.fsencode(told.sockets)) < 90


@pytest.mark.slow
def test_strange_characters_everywhere_without_any_locale(ground):
    place = ground.runtime / STRANGE
    place.mkdir()
    place.chmod(0o711)
    project = ground.project.rename(ground.base / STRANGE)
    ground.project = project
    told = ground.visit(FRESHPG_RUNTIME=place, FRESHPG_CACHE=place / "cäche", LC_ALL="C")
    assert (told.customers, told.how) == (2, "initdb")


@pytest.mark.parametrize("tmpdir", ["missing", LONG])
def test_a_temporary_directory_that_is_of_no_use(ground, as_root, tmpdir):
    place = ground.base / tmpdir
    if tmpdir == LONG:
        place.mkdir()
    ground.warm()
    told = ground.visit(
        mounts="mount -t tmpfs -o size=1m tmpfs /tmp && mount -t tmpfs tmpfs /var/tmp",
        FRESHPG_RUNTIME=None,
        TMPDIR=place,
    )
    assert told.customers == 2
    assert place.exists() == (tmpdir == LONG)


@pytest.mark.slow
def test_a_locale_that_nobody_has(ground):
    told = ground.visit(LANG="xx_YY", LC_ALL="xx_YY.UTF-8", LANGUAGE="xx")
    assert told.how == "initdb"


def test_nothing_in_the_environment_leads_to_another_server(ground):
    services = ground.base / "services.conf"
    services.write_text(SERVICE)
    told = ground.visit(
        **VARIABLES, PGSERVICE="elsewhere", PGSERVICEFILE=services, LD_PRELOAD="/nowhere.so"
    )
    assert (told.customers, told.how) == (2, "initdb")


def test_a_service_that_does_not_exist_is_named_with_its_remedy(ground):
    ground.warm()
    told = ground.visit(PGSERVICE="nowhere")
    assert told.error == "ServerUnreachable"
    assert "unset PGSERVICE" in told.text


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777], ids=oct)
def test_any_umask(ground, umask):
    ground.runtime.chmod(0o1777)
    told = ground.visit(umask=umask)
    assert (told.customers, told.how) == (2, "initdb")
    assert not [path for path in ground.cache.rglob("*") if path.stat().st_mode & 0o022]
    assert ground.visit(umask=umask).how == "image"


def test_any_umask_of_an_ordinary_user(ground, nobody):
    ground.runtime.chmod(0o1777)
    circumstances = {"umask": 0o777, "uid": nobody, "FRESHPG_CACHE": ground.runtime / "cache"}
    assert ground.visit(**circumstances).how == "initdb"
    assert ground.visit(**circumstances).how == "image"
