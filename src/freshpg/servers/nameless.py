"""Making a data directory as a user without a name: a container's random uid has no line in ``/etc/passwd``.

``initdb`` and ``postgres --single`` refuse to run for such a user, though with ``-U`` nothing depends on his name:
https://github.com/postgres/postgres/blob/master/src/common/username.c. They do run when their import ``getpwuid`` reads
``getpwent``, a function of the same C library that takes whatever it is given and returns the first user there is. So
they run from a copy with that one word changed; servers, which need no name, run the original.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import ServerStartFailed
from freshpg.servers.relocation import make_passable, making_copy

if TYPE_CHECKING:
    from freshpg.servers.binaries import Binaries

_ASKS_FOR_NAME: Final = ("initdb", "postgres")
_BY_UID: Final = b"\0getpwuid\0"
_ANY: Final = b"\0getpwent\0"


def has_name(uid: int) -> bool:
    """Whether the system knows a user of that number."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def stand_in(binaries: Binaries, target: Path) -> Binaries:
    """Return programs that need no user's name, in a copy of ours at ``target``, made at most once.

    Raises:
        ServerStartFailed: These programs cannot be changed that way; says what else helps.
        DiskFull: There is no room for the copy.
    """
    prefix = binaries.bindir.parent
    parts = binaries.layout or (prefix,)
    root = Path(os.path.commonpath([part.parent for part in parts]))
    if not target.is_dir():
        with making_copy(target) as draft:
            for part in parts:
                _mirror(part, draft / part.relative_to(root), binaries)
    return replace(binaries, bindir=target / binaries.bindir.relative_to(root), layout=())


def _mirror(part: Path, place: Path, binaries: Binaries) -> None:
    """Link to everything in ``part`` but the directory of programs: they look for libraries beside themselves."""
    make_passable(place)
    for entry in part.iterdir():
        if entry != binaries.bindir:
            (place / entry.name).symlink_to(entry)
            continue
        make_passable(place / entry.name)
        for name in _ASKS_FOR_NAME:
            program = place / entry.name / name
            program.write_bytes(_without_question(binaries.program(name)))
            program.chmod(0o755)


def _without_question(program: Path) -> bytes:
    code = program.read_bytes()
    if code.count(_BY_UID) != 1:
        raise ServerStartFailed(
            "PostgreSQL's programs were prepared for a user without a name",
            on=str(program),
            seen="it insists on a line in /etc/passwd for the user that runs it, and this one has none",
            todo=(
                "run as a user that has one (docker run --user with a name of the image)",
                "restore freshpg's cache from a machine where it was made: only making an image needs a name",
                "use the embedded server: pip install 'freshpg[server]'",
            ),
        )
    return code.replace(_BY_UID, _ANY)
