"""Installations whose programs are shell scripts: they say a version and count how often they were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def install(prefix: Path, version: str, extensions: tuple[str, ...] = ()) -> Path:
    """Make one below ``prefix`` and return its directory of programs."""
    bindir = prefix / "bin"
    (prefix / "share" / "extension").mkdir(parents=True)
    (prefix / "lib").mkdir()
    bindir.mkdir()
    (prefix / "share" / "postgres.bki").touch()
    for extension in extensions:
        (prefix / "share" / "extension" / f"{extension}.control").touch()
    for program in ("postgres", "initdb"):
        script = bindir / program
        script.write_text(
            f"#!/bin/sh\necho {program} >> {prefix}/asked\necho '{program} (PostgreSQL) {version}'\n"
        )
        script.chmod(0o755)
    return bindir


def times_asked(prefix: Path) -> int:
    """Return how often programs of the installation ran."""
    log = prefix / "asked"
    return len(log.read_text().splitlines()) if log.exists() else 0
