"""A dump of 50 MB loads, and this process does not take it into its memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]

MEGABYTE = 1 << 20
BOUND = 16 * MEGABYTE
"""Bytes by which loading may raise the process's peak memory: a piece of the file, not the file."""

LOAD = """
import sys
from pathlib import Path
from freshpg.core.settings import Settings
from freshpg.manager import DatabaseManager

def peak():
    # Not ru_maxrss, which begins with what the parent had.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

def build(name):
    databases = {"main": {"name": "big_test", "migrations": [name]}}
    settings = Settings(databases=databases, server=sys.argv[1], allow_create=True, stock=0)
    with DatabaseManager(settings) as manager:
        with manager.lease() as database, database.connect() as connection:
            return connection.execute("SELECT count(*), sum(length(text)) FROM big").fetchone()

build("small.sql")
before = peak()
print(*build("big.sql"), peak() - before)
"""


@pytest.mark.parametrize("kind", ["COPY", "INSERT"])
def test_a_dump_of_50_megabytes_loads_without_being_held_in_memory(
    admin, server, project, record_property, kind
):
    """On a server by address: the image of a server of ours is mapped, and mapped files count as memory too."""
    lines = write_dump(project / "big.sql", kind, 50 * MEGABYTE)
    write_dump(project / "small.sql", kind, 1024)
    assert (project / "big.sql").stat().st_size >= 50 * MEGABYTE
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, server.url()],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    rows, size, grown = map(int, loaded.stdout.split())
    record_property("bytes of memory more", grown)
    assert rows == lines
    assert size == lines * 1000
    assert grown < BOUND


def write_dump(path, kind, size):
    """Write a dump of at least ``size`` bytes and return its number of rows."""
    text = "x" * 1000
    with path.open("w") as file:
        file.write("CREATE TABLE big (id int, text text);\n")
        rows = size // 1000 + 1
        if kind == "COPY":
            file.write("COPY public.big (id, text) FROM stdin;\n")
            file.writelines(f"{number}\t{text}\n" for number in range(rows))
            file.write("\\.\n")
        else:
            file.write("BEGIN;\n")
            file.writelines(
                f"INSERT INTO big VALUES ({number}, '{text}');\n" for number in range(rows)
            )
            file.write("COMMIT;\n")
    return rows
