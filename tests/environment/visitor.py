"""A program as a user writes it, run in a process of its own under odd circumstances; tells as JSON how it went.

    python visitor.py PROJECT [PYTHON STATEMENTS ...]

It leases one database of the project, writes a row, executes the statements with ``manager`` and ``database`` at hand,
and leaves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import freshpg
from freshpg.core.errors import FreshpgError
from freshpg.manager import DatabaseManager


def visit(project: Path, statements: list[str]) -> dict[str, object]:
    manager = DatabaseManager.from_project(project)
    told: dict[str, object] = {}
    try:
        with manager.lease() as database, database.connect() as connection:
            connection.execute("INSERT INTO customer (name) VALUES ('Grace')")
            told["customers"] = connection.execute("SELECT count(*) FROM customer").fetchone()[0]
            told["how"] = manager.server.how
            told["provider"] = manager.server.provider
            told["version"] = manager.server.version
            told["sockets"] = manager.socket_directory
            told["name"] = database.name
            names = {"manager": manager, "database": database, "told": told, "freshpg": freshpg}
            for statement in statements:
                exec(statement, names)
    finally:
        manager.stop()
    return told


def main() -> int:
    try:
        told = visit(Path(sys.argv[1]), sys.argv[2:])
    except FreshpgError as error:
        plain = {
            name: value
            for name, value in error.data.items()
            if isinstance(value, str | int | float | None)
        }
        told = {
            "error": type(error).__name__,
            "code": error.code,
            "text": str(error),
            "data": plain,
        }
    print(json.dumps(told), flush=True)
    return "error" in told


if __name__ == "__main__":
    sys.exit(main())
