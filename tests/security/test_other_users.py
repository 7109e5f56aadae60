"""Another user of this machine, who knows every name there is, gets nowhere."""

import errno
import json
import os
import socket
import stat
from pathlib import Path

import pytest
from security.conftest import make_manager

from freshpg.core.errors import PathUnusable
from freshpg.kept import KeptDatabase, KeptList
from freshpg.servers import storage
from freshpg.servers.keeper import launch
from freshpg.servers.keeper.client import Keeper

ATTACKS = """
import ctypes, fcntl, json, os, shutil, signal, socket, sys

told = json.loads(sys.argv[1])
root, servers, server, data, sockets, cache, images, image, state = (told[k] for k in (
    "root", "servers", "server", "data", "sockets", "cache", "images", "image", "state"))
keeper_sock, socket_file = root + "/keeper.sock", told["socket"]
file_of_ours = told["file"]
os.chdir("/")
mine = told["mine"]


def connect(path, words=b""):
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(5)
    end.connect(path)
    if words:
        end.sendall(words)
        if not end.recv(1000):
            raise PermissionError("cut off")


def write(path, words="mine"):
    with open(path, "w") as file:
        file.write(words)


def startup(path):
    body = b"\\0\\3\\0\\0user\\0freshpg_admin\\0database\\0postgres\\0\\0"
    connect(path, (len(body) + 4).to_bytes(4, "big") + body)


def ptrace(pid):
    if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0):
        raise OSError(ctypes.get_errno(), "ptrace")


def detach_segment(number):
    if ctypes.CDLL(None, use_errno=True).shmctl(number, 0, None):
        raise OSError(ctypes.get_errno(), "shmctl")


def attach_segment(number):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    if libc.shmat(number, None, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "shmat")


def bind(path):
    socket.socket(socket.AF_UNIX).bind(path)


def tcp(port):
    socket.create_connection(("127.0.0.1", port), 5)


def lock(path):
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def posix_memory():
    for name in told["posix"]:
        open("/dev/shm/" + name, "rb").read(1)


attacks = {
    "list the runtime root": lambda: os.listdir(root),
    "list the servers": lambda: os.listdir(servers),
    "list a server's directory": lambda: os.listdir(server),
    "list a data directory": lambda: os.listdir(data),
    "list the sockets": lambda: os.listdir(sockets),
    "list the cache": lambda: os.listdir(cache),
    "list the images": lambda: os.listdir(images),
    "read the keeper's record": lambda: open(server + "/server.json").read(),
    "read the server's log": lambda: open(server + "/postgres.log").read(),
    "read postmaster.pid": lambda: open(data + "/postmaster.pid").read(),
    "read who may come in": lambda: open(data + "/pg_hba.conf").read(),
    "read a table": lambda: open(file_of_ours, "rb").read(),
    "read the image": lambda: [open(image + "/" + n, "rb").read(1) for n in ("data.pack", "image.json")],
    "read a build lock": lambda: open(told["build_lock"]).read(),
    "read what is kept": lambda: open(state + "/kept.json").read(),
    "speak to the keeper": lambda: connect(keeper_sock, b'{"id":1,"verb":"status"}\\n'),
    "have the keeper stop all": lambda: connect(keeper_sock, b'{"id":1,"verb":"stop","all":true,"force":true}\\n'),
    "have the keeper remove": lambda: connect(keeper_sock, json.dumps(
        {"id": 1, "verb": "claim", "paths": [server]}).encode() + b"\\n"),
    "connect to PostgreSQL": lambda: startup(socket_file),
    "connect over TCP": lambda: tcp(told["port"]),
    "let everybody in": lambda: write(data + "/pg_hba.conf", "local all all trust"),
    "write a setting": lambda: write(data + "/postgresql.auto.conf", "archive_command='id'"),
    "change a table": lambda: write(file_of_ours),
    "change the image": lambda: write(image + "/data.pack"),
    "replace the image's manifest": lambda: os.replace(mine + "/a", image + "/image.json"),
    "write a claim": lambda: write(root + "/claims/aaaa.json", "{}"),
    "write a record": lambda: write(server + "/server.json", "{}"),
    "write what is kept": lambda: write(state + "/kept.json", "[]"),
    "put a file into the root": lambda: write(root + "/x"),
    "put a directory among the servers": lambda: os.mkdir(servers + "/x"),
    "put a link among the servers": lambda: os.symlink("/etc", servers + "/x"),
    "put a link among the images": lambda: os.symlink("/etc", images + "/x"),
    "put a link in place of the log": lambda: os.symlink("/etc/passwd", server + "/postgres.log.1"),
    "bind a socket beside ours": lambda: bind(sockets + "/.s.PGSQL.1"),
    "remove the keeper's socket": lambda: os.unlink(keeper_sock),
    "remove the keeper's lock": lambda: os.unlink(root + "/keeper.lock"),
    "hold the keeper's lock": lambda: lock(root + "/keeper.lock"),
    "hold the build lock": lambda: lock(told["build_lock"]),
    "remove PostgreSQL's socket": lambda: os.unlink(socket_file),
    "remove the server": lambda: os.rename(server, mine + "/b"),
    "remove the image": lambda: os.rename(image, mine + "/c"),
    "rename the root": lambda: os.rename(root, root + ".old"),
    "put a link in place of the cache": lambda: (os.rename(cache, cache + ".old"), os.symlink(mine, cache)),
    "open the root to all": lambda: os.chmod(root, 0o777),
    "own the root": lambda: os.chown(root, os.getuid(), os.getgid()),
    "link a table to a place of mine": lambda: os.link(file_of_ours, mine + "/d"),
    "kill the keeper": lambda: os.kill(told["keeper"], signal.SIGKILL),
    "kill PostgreSQL": lambda: os.kill(told["postmaster"], signal.SIGKILL),
    "kill us": lambda: os.kill(told["us"], signal.SIGKILL),
    "stop PostgreSQL's clock": lambda: os.kill(told["postmaster"], signal.SIGSTOP),
    "read our environment": lambda: open("/proc/%d/environ" % told["us"]).read(),
    "read PostgreSQL's environment": lambda: open("/proc/%d/environ" % told["postmaster"]).read(),
    "read the keeper's memory": lambda: open("/proc/%d/mem" % told["keeper"], "rb").read(1),
    "enter PostgreSQL's directory by its process": lambda: os.listdir("/proc/%d/cwd" % told["postmaster"]),
    "debug the keeper": lambda: ptrace(told["keeper"]),
    "debug PostgreSQL": lambda: ptrace(told["postmaster"]),
    "attach the shared memory": lambda: attach_segment(told["segment"]),
    "remove the shared memory": lambda: detach_segment(told["segment"]),
    "read the shared memory's files": posix_memory,
}
found = {}
for name, attack in attacks.items():
    try:
        attack()
    except OSError as error:
        # PermissionError, or where a directory hides it: not there, or refused.
        found[name] = type(error).__name__
    else:
        found[name] = ""
print(json.dumps(found))
"""
NAMES = [line.split('"')[1] for line in ATTACKS.splitlines() if line.startswith('    "') and '": ' in line]  # fmt: skip


@pytest.fixture(scope="module")
def house(street, at_home, stranger, tmp_path_factory):
    """A run of ours in the middle of its work, and all there is to know of where it is."""
    project = street / "project"
    project.mkdir(mode=0o755)
    with make_manager(project, linger="5s") as manager, manager.lease() as database:
        with database.connect() as connection:
            (file,) = connection.execute("SELECT pg_relation_filepath('customer')").fetchone()
        server = Path(manager.socket_directory).parent
        data = server / "data"
        root = street / f"freshpg-{os.geteuid()}"
        lines = (data / "postmaster.pid").read_text().splitlines()
        images = street / "cache" / "images"
        image = next(path for path in images.iterdir() if (path / "image.json").exists())
        state = project / ".freshpg"
        KeptList(state).reserve("secure_test", KeptDatabase("", "", "", 0, "", "", "", 0.0))
        mine = street / "mine"
        mine.mkdir()
        (mine / "a").touch()
        for path in (mine, mine / "a"):
            os.chown(path, stranger, stranger)
        with Keeper.find(root) as keeper:
            yield {
                "root": root, "servers": root / "servers", "server": server, "data": data,
                "sockets": manager.socket_directory, "socket": f"{manager.socket_directory}/.s.PGSQL.{database.conninfo.port}",
                "cache": street / "cache", "images": images, "image": image, "state": state, "mine": mine,
                "build_lock": next(iter([*images.glob("*.lock"), images])), "file": data / file, "port": database.conninfo.port,
                "keeper": keeper.pid, "postmaster": int(lines[0]), "segment": int(lines[6].split()[1]), "us": os.getpid(),
                "posix": [one.name for one in Path("/dev/shm").glob("PostgreSQL.*")],
            }  # fmt: skip
            # Nothing was broken either.
            with database.connect() as connection:
                assert connection.execute("SELECT name FROM customer").fetchall() == [("Ada",)]
            assert keeper.status()["complaints"] == []


@pytest.fixture(scope="module")
def attacked(house, as_stranger):
    return json.loads(as_stranger(ATTACKS, json.dumps(house, default=str)))


def test_there_are_enough_attacks():
    assert len(NAMES) >= 50


@pytest.mark.parametrize("attack", NAMES)
def test_another_user_can_not(attack, attacked):
    assert attacked[attack], f"another user could {attack}"


def test_the_attacks_work_where_nothing_protects(as_stranger, stranger, street):
    """The same means against a house of the attacker's own: else they prove nothing."""
    house = street / "open"
    house.mkdir()
    house.chmod(0o777)
    script = """
import os, socket, sys
os.chdir(sys.argv[1])
end = socket.socket(socket.AF_UNIX)
end.connect("open.sock")
open("file").read()
open("file", "w").write("mine")
os.symlink("/etc", "link")
os.unlink("file")
print("all")
"""
    (house / "file").touch()
    (house / "file").chmod(0o666)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(house / "open.sock"))
        (house / "open.sock").chmod(0o666)
        listener.listen()
        assert as_stranger(script, house) == "all\n"


def test_no_socket_waits_on_the_network(house):
    descriptors = Path(f"/proc/{house['postmaster']}/fd")
    ours = {str(one.readlink()) for one in descriptors.iterdir()}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        rows = Path("/proc/net", table).read_text().splitlines()[1:]
        assert not {f"socket:[{row.split()[9]}]" for row in rows} & ours


TRAPS = {
    "a directory": "import os, sys; os.mkdir(sys.argv[1])",
    "a directory for all": "import os, sys; os.mkdir(sys.argv[1]); os.chmod(sys.argv[1], 0o777)",
    "a link to a directory of ours": "import os, sys; os.symlink(sys.argv[2], sys.argv[1])",
    "a link to nothing": "import os, sys; os.symlink('/nowhere/at/all', sys.argv[1])",
    "a file": "import sys; open(sys.argv[1], 'w').close()",
    "a pipe": "import os, sys; os.mkfifo(sys.argv[1])",
    "a socket": "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_place_that_another_user_took_first_is_not_used(
    as_stranger, tmp_path_factory, trap, street
):
    corner = street / f"corner {trap}"
    corner.mkdir()
    corner.chmod(0o777)
    ours = corner / "ours"
    ours.mkdir(mode=0o700)
    place = corner / f"freshpg-{os.geteuid()}"
    as_stranger(TRAPS[trap], place, ours)
    before = [_about(path) for path in (place, ours, corner)]
    cache = corner / "cache"
    environ = {"FRESHPG_RUNTIME": str(corner), "FRESHPG_CACHE": str(cache)}
    with pytest.raises(PathUnusable):
        storage.make_root(place)
    # The cache's own is the last resort, which nobody can block.
    assert storage.keeper_root(environ) == cache / "run"
    assert [_about(path) for path in (place, ours)] == before[:2]
    assert not list(ours.iterdir())


def _about(path):
    found = path.lstat()
    return stat.filemode(found.st_mode), found.st_uid, found.st_gid, found.st_nlink


def test_a_log_that_is_a_link_is_not_followed(tmp_path):
    """The keeper opens a server's log itself, as us."""
    victim, log = tmp_path / "victim", tmp_path / "postgres.log"
    victim.write_text("precious")
    log.symlink_to(victim)
    us = {"uid": os.geteuid(), "gid": os.getegid()}
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        launch.launch(["/bin/true"], {}, data=str(tmp_path), log=str(log), **us)
    assert victim.read_text() == "precious"
