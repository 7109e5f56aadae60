"""No destructive act touches one of hundreds of dangerous targets, and none refuses one of hundreds of our own."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from postgres_server import running_server
from security.targets import KINDS, NAMES, OURS, OVERLONG, comments, paths_never

from freshpg.core.clock import Deadline
from freshpg.core.errors import DatabaseGone, FreshpgError, NotOurs
from freshpg.core.names import RESERVED, doomed_name
from freshpg.isolation.audit.inside import Inside
from freshpg.leases.coordination import TableIntents, ensure_coordination
from freshpg.leases.sweep import SWEPT_KINDS, sweep_databases
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
from freshpg.postgres.mark import Mark
from freshpg.postgres.quoting import ident, literal
from freshpg.servers.keeper import identity, remains

ACTS = {
    "drop": lambda databases, name: databases.drop(name),
    "rename": lambda databases, name: databases.rename(name, "elsewhere"),
    "seal": lambda databases, name: databases.seal(name),
    "unseal": lambda databases, name: databases.unseal(name),
    "end sessions": lambda databases, name: databases.clear_holders(name),
    "create over": lambda databases, name: databases.create(
        name, Mark("slot", "main"), owner="postgres", template="template0"
    ),
}
ABOUT = "SELECT oid, datname, datallowconn, datistemplate, datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database"


class Place:
    """A server of somebody else's with one database that can have any name and any comment."""

    def __init__(self, address):
        self.address = address
        self.admin = Admin.connect(ensure_coordination(address))
        self.databases = Databases(self.admin, intents=TableIntents(self.admin))
        self.admin.execute("CREATE DATABASE one STRATEGY file_copy")
        self.oid = self.admin.value("SELECT oid FROM pg_database WHERE datname = 'one'")
        self.name = "one"

    def be(self, name, comment):
        if name != self.name:
            self.admin.execute(f"ALTER DATABASE {ident(self.name)} RENAME TO {ident(name)}")
        self.name = name
        text = "NULL" if comment is None else literal(comment)
        self.admin.execute(f"COMMENT ON DATABASE {ident(name)} IS {text}")

    def about(self):
        return self.admin.rows(f"{ABOUT} ORDER BY oid")

    def all_refused(self, name):
        """Names of acts that did not refuse."""
        before = self.about()
        done = [act for act in ACTS if not self._refuses(act, name)]
        swept = sweep_databases(self.databases)
        return [*done, *(one.name for one in swept), *self._changed(before)]

    def _refuses(self, act, name):
        try:
            ACTS[act](self.databases, name)
        except (NotOurs, DatabaseGone, FreshpgError):
            return True
        return False

    def _changed(self, before):
        return [] if self.about() == before else ["something changed"]


@pytest.fixture(scope="module")
def place():
    with running_server() as address:
        made = Place(address)
        yield made
        made.admin.close()


@pytest.fixture
def reset(place):
    yield
    place.be("one", None)


PARTS = 8


def _targets(oid, system):
    """Each name with two comments, and each comment under two names."""
    every = comments(oid, system)
    for number, name in enumerate(NAMES):
        for comment in (every[number % len(every)], every[3]):
            yield name, comment
    for comment in every:
        for name in ("shop_test", "production"):
            yield name, comment


def test_there_are_more_than_three_hundred_targets():
    databases = len(list(_targets(16385, "7")))
    assert databases >= 240
    assert databases + len(OVERLONG) + len(paths_never("/root", "/home")) >= 300


@pytest.mark.parametrize("part", range(PARTS))
def test_no_act_touches_a_database_that_is_not_provably_ours(place, reset, part):
    touched = []
    for name, comment in list(_targets(place.oid, place.admin.system))[part::PARTS]:
        place.be(name, comment)
        touched += [(name, comment, what) for what in place.all_refused(name)]
    assert touched == []


def test_sessions_in_such_a_database_go_on(place, reset):
    place.be("shop_test", comments(place.oid, place.admin.system)[3])
    with Admin.connect(place.address.with_(dbname="shop_test")) as inside:
        assert place.all_refused("shop_test") == []
        assert inside.value("SELECT 1") == 1
        with pytest.raises(NotOurs):
            Inside.open(place.address.with_(dbname="shop_test"), own=False)


@pytest.mark.parametrize("name", ["postgres", "template0", "template1"])
def test_no_act_touches_the_servers_own_databases_not_even_on_a_server_of_ours(place, name):
    assert place.all_refused(name) == []
    own = Databases(place.admin, own=True)
    before = place.about()
    for act in ACTS.values():
        with pytest.raises(FreshpgError):
            act(own, name)
    assert place.about() == before


def test_no_act_touches_what_an_overlong_name_would_be_cut_to(place, reset):
    for name in OVERLONG:
        cut = (
            name.partition("\x00")[0].encode(errors="ignore")[:63].decode(errors="ignore") or "one"
        )
        # Even one of ours: another name was asked for.
        mark = Mark("slot", "main").tied_to(place.oid, place.admin.system)
        place.be(cut, mark.to_comment())
        before = place.about()
        for act in ("drop", "rename", "seal", "end sessions"):
            try:
                done = ACTS[act](place.databases, name)
            except (FreshpgError, ValueError):
                continue
            assert not done, (act, name)
        assert place.about() == before, name


def test_a_name_that_the_server_keeps_for_itself_is_refused_for_a_blueprint():
    from freshpg.core.errors import NameInvalid
    from freshpg.core.names import validate_database_name

    for name in {*RESERVED, *(word.upper() for word in RESERVED), *OVERLONG, "", " ", "a\x00"}:
        with pytest.raises(NameInvalid):
            validate_database_name(name)


def test_there_are_more_than_two_hundred_legitimate_ones():
    assert len(OURS) * len(KINDS) >= 200


@pytest.mark.parametrize("kind", KINDS)
def test_every_act_does_what_it_should_to_what_is_ours(place, reset, kind):
    refused = []
    for number, name in enumerate(OURS):
        mark = Mark(kind, "main", f"f{number}", facts={"base": "shop_test"})
        place.be(name, mark.tied_to(place.oid, place.admin.system).to_comment())
        try:
            place.databases.seal(name)
            place.databases.unseal(name)
            place.databases.rename(name, f"freshpg_doomed_{place.oid}")
            place.databases.rename(f"freshpg_doomed_{place.oid}", name)
            place.databases.clear_holders(name)
            place.databases.find_ours(name, place.oid)
        except FreshpgError as error:
            refused.append((name, str(error)))
    assert refused == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_ours_can_be_removed_whatever_it_is_and_holds_it(place, kind):
    mark = Mark(kind, "main", facts={"base": "ours_test"})
    place.databases.create("ours_test", mark, owner="postgres", template="template1")
    with ExitStack() as stack:
        inside = stack.enter_context(Admin.connect(place.address.with_(dbname="ours_test")))
        inside.execute("BEGIN")
        if kind in SWEPT_KINDS:
            assert [one.name for one in sweep_databases(place.databases) if one.done] == [
                "ours_test"
            ]
        else:
            assert place.databases.drop("ours_test")
    assert place.databases.find("ours_test") is None


def test_a_database_with_the_name_of_a_doomed_one_goes_only_by_its_own_number(place, reset):
    mark = Mark("template", "main").tied_to(place.oid, place.admin.system)
    place.be(doomed_name(place.oid + 1), mark.to_comment())
    assert sweep_databases(place.databases) == []
    place.be(doomed_name(place.oid), None)
    assert sweep_databases(place.databases) == []


@pytest.fixture
def ground(tmp_path):
    """A root of ours with everything that can mislead in it, and somebody's home beside it."""
    root, home = tmp_path / "root", tmp_path / "home"
    for directory in (root, home / "precious", root / "servers", root / "sockets", root / "open" / "victim", root / "theirs" / "victim"):  # fmt: skip
        directory.mkdir(parents=True)
        directory.chmod(0o700)
    (home / "precious" / "file").write_text("precious")
    (root / "linked").symlink_to(home)
    (root / "servers" / "link").symlink_to(home)
    (root / "file").touch()
    os.mkfifo(root / "pipe")
    (root / "open").chmod(0o777)
    if os.geteuid() == 0:
        os.chown(root / "theirs", 12345, 12345)
    else:
        (root / "theirs").chmod(0o770)
    return root, home


def _tree(top):
    return sorted(
        (str(path), path.lstat().st_mode, path.lstat().st_mtime_ns) for path in top.rglob("*")
    )


def test_no_path_leads_out_of_what_is_ours(ground, tmp_path):
    root, home = ground
    before = _tree(tmp_path)
    paths = paths_never(str(root), str(home))
    removed = [path for path in paths if not remains.remove_path(path, [str(root)]) and _gone(path)]
    assert removed == []
    assert _tree(tmp_path) == before
    assert len(paths) >= 75


def _gone(path):
    # What never was there is nothing to complain of, as long as nothing else went.
    return "\x00" not in path and not Path(path).name.startswith("x") and not os.path.lexists(path)


@pytest.mark.parametrize("bad", ["open", "link", "file", "theirs", "nothing"])
def test_a_root_that_is_not_ours_alone_holds_nothing_of_ours(tmp_path, bad):
    root = tmp_path / "root"
    if bad == "link":
        (tmp_path / "real").mkdir(mode=0o700)
        root.symlink_to(tmp_path / "real")
    elif bad == "file":
        root.touch()
    elif bad != "nothing":
        root.mkdir(mode=0o700)
        root.chmod(0o777 if bad == "open" else 0o700)
        if bad == "theirs":
            if os.geteuid():
                pytest.skip("to give a directory away needs root")
            os.chown(root, 12345, 12345)
    assert not remains.owned_root(str(root))


def test_what_is_ours_goes_whatever_it_is_called(tmp_path):
    root = tmp_path / "root"
    shelf = root / "servers"
    shelf.mkdir(parents=True)
    for directory in (root, shelf):
        directory.chmod(0o700)
    names = [name for name in (*OURS, *NAMES) if "/" not in name and name not in {".", ".."}]
    for name in names:
        victim = shelf / name.encode()[:200].decode(errors="ignore")
        (victim / "deep" / "er").mkdir(parents=True)
        (victim / "link").symlink_to("/etc")
        assert remains.remove_path(str(victim), [str(root)]) == []
        assert not os.path.lexists(victim)
    assert len(names) >= 100
    assert Path("/etc").is_dir()


@pytest.fixture
def bystander():
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, cwd="/"
    )
    yield process.pid
    assert process.poll() is None, "a bystander was ended"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)


def test_a_number_that_another_process_has_now_is_nobody_of_ours(bystander, tmp_path):
    start = identity.start_token(bystander)
    assert identity.is_alive(bystander, start)
    wrong = [(bystander, ""), (bystander, "1"), (bystander, start + "0"), (bystander, f" {start}"), (bystander + 2**22, start),
             (0, start), (-1, start), (-bystander, start), (1, start), (os.getpid(), start), (2**31 - 1, start)]  # fmt: skip
    assert not [one for one in wrong if identity.is_alive(*one)]


def test_only_who_works_in_a_data_directory_is_killed_over_it(bystander, tmp_path):
    uid = os.geteuid()
    data = tmp_path / "data"
    twin = tmp_path / "data2"
    for directory in (data, twin):
        directory.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()", str(data)],
            stdin=subprocess.PIPE,
            cwd=where,
        )
        for where in (twin, tmp_path, data)
    ]
    try:
        for elsewhere in ("/nowhere", str(tmp_path / "dat"), f"{data}/x", f"{data} "):
            assert list(identity.working_below(elsewhere, uid)) == []
        assert list(identity.working_below(str(data), uid + 1)) == []
        # Only the last one works there; the first ones only speak of it.
        assert remains.kill_processes_below(str(data), uid) == []
        assert processes[2].wait(20) == -signal.SIGKILL
        assert [process.poll() for process in processes[:2]] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=20)
    assert Deadline(0).expired
