"""A new data directory: initialised once per build and options, with our roles, without what a start can spare."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from freshpg.core.errors import DiskFull, ServerStartFailed
from freshpg.core.faults import faultpoint
from freshpg.servers import private
from freshpg.servers.images import image_key
from freshpg.servers.slimming import slim

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from freshpg.core.clock import Deadline
    from freshpg.servers.binaries import Binaries
    from freshpg.servers.images import Image, ImageStore
    from freshpg.servers.runas import RunAs

ADMIN_ROLE: Final = "freshpg_admin"
TEST_ROLE: Final = "postgres"
SUPERUSER_ROLE: Final = "freshpg_superuser"
COORDINATION_DATABASE: Final = "postgres"
# 1 MB: the smallest there is; a copy carries one segment.
WAL_SEGMENT_BYTES: Final = 1 << 20

_POLITE_SECONDS: Final = 5.0
_BURIAL_SECONDS: Final = 10.0

# Counts up when what create_cluster makes changes, or what an image of it has: older ones are not found any more.
LAYOUT: Final = 2

_ROLES: Final = (
    f"CREATE ROLE {TEST_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE",
    f"CREATE ROLE {SUPERUSER_ROLE} LOGIN SUPERUSER",
)

_HBA: Final = """\
# Written by freshpg. The socket lies in a private directory: who can reach it may enter.
local  all          all                trust
local  replication  all                trust
# Nothing listens on TCP unless it was asked for; then a password is needed.
host   all          all  127.0.0.1/32  scram-sha-256
host   all          all  ::1/128       scram-sha-256
"""

_CONF: Final = """\
# Written by freshpg; everything else is given on the command line of each start.
datestyle = 'iso, mdy'
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
lc_monetary = 'C'
lc_numeric = 'C'
lc_time = 'C'
default_text_search_config = 'pg_catalog.english'
"""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What initdb may be told.

    Attributes:
        locale: A locale of the machine for sorting and character classes. Empty: sorted by code point, characters
            classed by Unicode (``C.UTF-8``, PostgreSQL's own from 17 on), the same on every machine.
        encoding: Of all databases.
        icu_locale: An ICU locale for sorting, for builds with ICU. Empty: ICU is not used.
    """

    locale: str = ""
    encoding: str = "UTF8"
    icu_locale: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What of this takes part in an image's key."""
        return (str(LAYOUT), *astuple(self))


def create_cluster(
    binaries: Binaries,
    options: ClusterOptions,
    directory: Path,
    run_as: RunAs | None,
    deadline: Deadline,
) -> None:
    """Initialise ``directory``, which must not exist, and leave it shut down, with our roles, slim.

    It is made by ``run_as`` (None: this process's own user), who must be able to reach its parent. A failure leaves
    no directory.

    Raises:
        ServerStartFailed: initdb or the first start refused, or took longer than ``deadline``.
        DiskFull: There was no room.
    """
    private.make_directory(directory)
    try:
        faultpoint("cluster.directory_made")
        if run_as is not None:
            os.chown(directory, run_as.uid, run_as.gid)
        _initdb(binaries, options, directory, run_as, deadline)
        faultpoint("cluster.initialised")
        (directory / "postgresql.conf").write_text(_CONF)
        (directory / "pg_hba.conf").write_text(_HBA)
        faultpoint("cluster.configured")
        single_user(binaries, directory, _ROLES, run_as=run_as, deadline=deadline)
        faultpoint("cluster.roles_made")
        slim(directory)
        faultpoint("cluster.slimmed")
    except BaseException as error:
        for complaint in _bury(directory, run_as):
            error.add_note(complaint)
        raise


def ensure_base_image(
    store: ImageStore,
    binaries: Binaries,
    options: ClusterOptions,
    directory: Path,
    run_as: RunAs | None,
    *,
    deadline: Deadline,
    waiting: Callable[[str], None] | None = None,
) -> Image:
    """Return the image of a new cluster without any migration, made at most once per build and options.

    ``directory``, which must not exist, is where it is made if it must be; it is gone afterwards.

    Raises:
        ServerStartFailed: See :func:`create_cluster`; also ``DiskFull``.
        WaitTimedOut: Another process still made it at the deadline.
    """
    key = image_key("base", binaries.build_id, *options.key)

    def make() -> Image:
        before = deadline.elapsed
        create_cluster(binaries, options, directory, run_as, deadline)
        try:
            return store.seal(
                key,
                directory,
                build_id=binaries.build_id,
                version=str(binaries.version),
                build_seconds=deadline.elapsed - before,
            )
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    return store.ensure(key, binaries.build_id, make, deadline=deadline, waiting=waiting)


def single_user(
    binaries: Binaries,
    directory: Path,
    statements: Sequence[str],
    *,
    run_as: RunAs | None,
    deadline: Deadline,
    database: str = COORDINATION_DATABASE,
) -> None:
    """Execute one-line statements as the bootstrap superuser on a cluster that is shut down, without a server.

    Source: https://www.postgresql.org/docs/current/app-postgres.html#APP-POSTGRES-SINGLE-USER

    Raises:
        ServerStartFailed: A statement failed, or all took longer than ``deadline``.
    """
    quick = (
        "-F",
        "-c",
        "exit_on_error=true",
        "-c",
        "shared_buffers=16MB",
        "-c",
        "wal_level=minimal",
        # Segments as files of the data directory go with it, whatever ends the program.
        "-c",
        "dynamic_shared_memory_type=mmap",
    )
    command = ("--single", "-D", str(directory), *quick, "-c", "max_wal_senders=0", database)
    _run(
        _Run(binaries, "postgres", directory, run_as, deadline),
        command,
        "\n".join(statements) + "\n",
    )


def _initdb(
    binaries: Binaries,
    options: ClusterOptions,
    directory: Path,
    run_as: RunAs | None,
    deadline: Deadline,
) -> None:
    *hopeful, certain = _locale_arguments(binaries.version.major, options)
    common = (
        *("-D", str(directory), "-L", str(binaries.sharedir)),
        *("-U", ADMIN_ROLE, "-A", "trust", "-E", options.encoding),
        # Sums guard against failing disks; here they would only turn hint bits into WAL. The default since 18.
        *(("--no-data-checksums",) if binaries.version.major >= 18 else ()),
        *(f"--wal-segsize={WAL_SEGMENT_BYTES >> 20}", "--no-sync", "--no-instructions"),
        # The programs it runs make files in the data directory then, no POSIX segments.
        *(("--set", "dynamic_shared_memory_type=mmap") if binaries.version.major >= 16 else ()),
    )
    run = partial(_run, _Run(binaries, "initdb", directory, run_as, deadline))
    for locale in hopeful:
        try:
            run((*common, *locale))
        except ServerStartFailed as problem:
            if "invalid locale" not in problem.seen:
                raise
        else:
            return
    run((*common, *certain))


def _locale_arguments(major: int, options: ClusterOptions) -> tuple[tuple[str, ...], ...]:
    """Return sets of arguments to try, in order."""
    if options.icu_locale:
        rest = ("--locale", options.locale or "C")
        return (("--locale-provider=icu", f"--icu-locale={options.icu_locale}", *rest),)
    if options.locale:
        return (("--locale", options.locale),)
    if options.encoding.upper().replace("-", "") != "UTF8":
        return (("--locale=C",),)
    if major >= 17:
        return (("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),)
    # Not every C library has C.UTF-8; without it only ASCII letters have upper and lower case.
    return (("--locale=C", "--lc-ctype=C.UTF-8"), ("--locale=C",))


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays the same however often a program is tried."""

    binaries: Binaries
    program: str
    directory: Path
    run_as: RunAs | None
    deadline: Deadline


def _run(what: _Run, arguments: Sequence[str], text: str = "") -> None:
    try:
        process = subprocess.Popen(
            [what.binaries.program(what.program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=what.directory,
            env=_environment(what.binaries),
            umask=0o077,
            # A group of its own: initdb runs postgres, which must not outlive it.
            start_new_session=True,
            **_identity(what.run_as),
        )
    except OSError as error:
        raise _failed(what, f"it cannot be run: {error.strerror}") from None
    with process:
        try:
            faultpoint("cluster.program_runs")
            _, complaint = process.communicate(text, timeout=max(0.1, what.deadline.remaining))
        except subprocess.TimeoutExpired:
            _end_group(process)
            raise _failed(what, f"it did not end within {what.deadline.seconds:.0f} s") from None
        except BaseException:
            _end_group(process)
            raise
    if process.returncode != 0:
        raise _failed(what, _last_lines(complaint) or f"it ended with status {process.returncode}")


def _end_group(process: subprocess.Popen[str]) -> None:
    """End a program and what it started, politely first: killed, postgres would leave its shared memory."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_POLITE_SECONDS)
            return


def _bury(directory: Path, run_as: RunAs | None) -> list[str]:
    """Remove a data directory whose making failed, and the shared memory of programs that were killed over it."""
    try:
        return _remove_segments(str(directory), run_as)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"shared memory of {directory}: {error}"]
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_segments(directory: str, run_as: RunAs | None) -> list[str]:
    from freshpg.servers.keeper import segments

    if run_as is None or run_as.uid == os.geteuid():
        return segments.remove(segments.Directory(directory))
    # A process that can become the user that made them: this one may have threads and should not fork.
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-S", segments.__file__),
            *(directory, str(run_as.uid), str(run_as.gid)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_BURIAL_SECONDS,
    )
    return done.stderr.splitlines()


def _environment(binaries: Binaries) -> Mapping[str, str]:
    """No PG* variable, no locale, no time zone of the caller may change what is made."""
    return {
        "LC_ALL": "C",
        "TZ": "UTC",
        "PATH": f"{binaries.bindir}{os.pathsep}{os.defpath}",
        **binaries.environment(),
    }


def _identity(run_as: RunAs | None) -> dict[str, Any]:
    if run_as is None or run_as.uid == os.geteuid():
        return {}
    return {"user": run_as.uid, "group": run_as.gid, "extra_groups": []}


def _last_lines(complaint: str, count: int = 6) -> str:
    return "\n".join(complaint.strip().splitlines()[-count:])


def _failed(what: _Run, seen: str) -> DiskFull | ServerStartFailed:
    failed = f"{what.program} of PostgreSQL {what.binaries.version} initialised a data directory"
    # The C locale was set, so these are the system's words for ENOSPC and EDQUOT.
    if "No space left on device" in seen or "Disk quota exceeded" in seen:
        return DiskFull(
            failed,
            on=str(what.directory),
            seen=seen,
            todo=("free some space there", "set TMPDIR to a directory with more room"),
            free=shutil.disk_usage(what.directory.parent).free,
        )
    return ServerStartFailed(
        failed,
        on=str(what.directory),
        seen=seen,
        todo=(f"check that the program runs: {what.binaries.program(what.program)} -V",),
    )
