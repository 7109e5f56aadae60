"""The settings of a server whose data nobody will miss, each with its reason.

They are given on the command line of every start, so that an image serves any of them. Values are PostgreSQL's own
text. Reference: https://www.postgresql.org/docs/current/runtime-config.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from freshpg.core.errors import SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEWEST: Final = 10_000

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; ``since`` and ``until`` are the first and last major version that know it."""

    name: str
    value: str
    reason: str
    since: int = 0
    until: int = NEWEST


QUERY_BYTES: Final = 4096
"""``track_activity_query_size`` of a server of ours, unless the user set another."""

_DURABILITY: Final = (
    Setting("fsync", "off", "the data may be lost with the machine: it is made anew then"),
    Setting("synchronous_commit", "off", "a commit need not wait for the WAL writer"),
    Setting("full_page_writes", "off", "torn pages only matter after a crash of the machine"),
    Setting("wal_level", "minimal", "nobody replicates; bulk loads into new tables skip the WAL"),
    Setting("max_wal_senders", "0", "required by wal_level minimal"),
    Setting(
        "wal_init_zero",
        "off",
        "zero-filling segments protects against a full disk at the price of writing twice",
    ),
    Setting(
        "wal_recycle", "off", "removed segments give memory back; new ones cost nothing in memory"
    ),
    Setting("checkpoint_timeout", "1d", "no checkpoint by the clock in the middle of a test"),
    Setting(
        "checkpoint_completion_target", "0", "CREATE DATABASE waits for its checkpoints: no pacing"
    ),
    Setting(
        "max_wal_size", "256MB", "WAL lies in memory as well: bounded, yet rarely a checkpoint"
    ),
    Setting(
        "wal_keep_size",
        "4MB",
        "an audit reads what was written since the last one, across the checkpoints of clones",
    ),
)
_BACKGROUND: Final = (
    Setting(
        "autovacuum", "off", "databases live for seconds; its timing would move plans and locks"
    ),
    Setting("autovacuum_max_workers", "1", "not started, but each has room in shared memory"),
    Setting("autovacuum_worker_slots", "1", "as above", since=18),
    Setting("bgwriter_lru_maxpages", "0", "no writing ahead of a checkpoint that never comes"),
    Setting("max_logical_replication_workers", "0", "one process less in every server"),
    Setting(
        "max_worker_processes",
        "0",
        "no background workers, so no parallel plans: a worker's core is taken by its neighbour's tests",
    ),
    Setting(
        "max_parallel_workers_per_gather",
        "0",
        "parallel plans need dynamic shared memory, which containers limit to 64 MB",
    ),
    Setting("max_parallel_maintenance_workers", "0", "as above, for CREATE INDEX"),
    Setting(
        "io_method",
        "sync",
        "data in memory needs no I/O workers: three processes less in every server",
        since=18,
    ),
)
_SIZE: Final = (
    Setting(
        "shared_buffers",
        "16MB",
        "start takes 4 to 8 ms longer with 128 MB, and cloning by file copy does not gain",
    ),
    Setting(
        "max_connections",
        "50",
        "each worker has its own server; 100 cost 2 MB more and 4 ms of start",
    ),
    Setting(
        "max_locks_per_transaction",
        "128",
        "with 50 connections 6,400 locks, as many as by default: a dump of 500 tables in one transaction",
    ),
    Setting(
        "track_activity_query_size",
        str(QUERY_BYTES),
        "a lease's holder is told in its connection's last query",
    ),
    Setting("huge_pages", "off", "a small server would waste most of one"),
    Setting(
        "dynamic_shared_memory_type",
        "mmap",
        "segments are files in the data directory and go with it; POSIX ones stay in /dev/shm after a SIGKILL",
    ),
    Setting("jit", "off", "compiling costs more than the queries of a test"),
)
_SESSIONS: Final = (
    Setting(
        "client_connection_check_interval",
        "500ms",
        "a query whose client was killed ends too, instead of holding its locks",
    ),
    Setting(
        "superuser_reserved_connections",
        "5",
        "our own connections get in when a test has taken all others",
    ),
    Setting("restart_after_crash", "on", "a killed backend costs its test, not the run"),
)
_LOG: Final = (
    Setting("logging_collector", "off", "standard error is the log file; one process less"),
    Setting("log_destination", "stderr", "as above"),
    Setting(
        "log_min_messages",
        "log",
        "errors of tests go to tests; a log in memory must not grow with them",
    ),
    Setting("log_min_error_statement", "panic", "statements may hold passwords"),
    Setting("log_checkpoints", "off", "every clone makes two"),
    Setting("log_line_prefix", "%m [%p] ", "time and process"),
    Setting("log_timezone", "UTC", "logs compare across machines"),
)
_REPLICATING: Final = (
    Setting("wal_level", "logical", "a test with a server of its own may replicate"),
    Setting("max_wal_senders", "10", "as above"),
    Setting("max_replication_slots", "10", "as above"),
    Setting("max_logical_replication_workers", "4", "as above: it may subscribe"),
    Setting("max_worker_processes", "8", "subscriptions run in background workers"),
    Setting(
        "max_prepared_transactions",
        "20",
        "a test with a server of its own may commit in two phases",
    ),
)

_OURS: Final = frozenset(
    {"config_file", "data_directory", "external_pid_file", "hba_file", "ident_file", "listen_addresses", "port",
     "unix_socket_directories", "unix_socket_group", "unix_socket_permissions", "log_destination", "logging_collector"}
)  # fmt: skip
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens: always on a private socket, on loopback only when asked for.

    Args:
        sockets: Socket directory.
        port: Number in the socket's name, and of the TCP port if there is one.
        tcp: Whether to listen on ``127.0.0.1`` as well; ``pg_hba.conf`` of our images asks for SCRAM there.
    """

    sockets: str
    port: int = 5432
    tcp: bool = False

    def settings(self) -> tuple[Setting, ...]:
        """Return the settings for this."""
        address = "127.0.0.1" if self.tcp else ""
        return (
            Setting(
                "listen_addresses",
                address,
                "no network; loopback by number, because localhost may be ::1",
            ),
            Setting("port", str(self.port), "names the socket"),
            Setting("unix_socket_directories", self.sockets, "private"),
            Setting(
                "unix_socket_permissions",
                "0700",
                "the directory is the gate, this is the second one",
            ),
            Setting("password_encryption", "scram-sha-256", "whatever password a test sets"),
        )


def throwaway(
    major: int, *, replicating: bool = False, overrides: Mapping[str, Value] | None = None
) -> tuple[Setting, ...]:
    """Return the settings for a server of version ``major``.

    Args:
        major: Major version; settings it does not know are left out.
        replicating: For a server that one test has for itself (isolation ``server``): it may replicate and commit in
            two phases.
        overrides: The user's ``settings = {…}``; they win.

    Raises:
        SettingsInvalid: An override is not a setting's name, or is one that keeps the server private.
    """
    chosen = {
        setting.name: setting for setting in _DURABILITY + _BACKGROUND + _SIZE + _SESSIONS + _LOG
    }
    if replicating:
        chosen |= {setting.name: setting for setting in _REPLICATING}
    wanted = {name: _override(name, value) for name, value in (overrides or {}).items()}
    if (
        "max_wal_senders" in wanted
        and wanted["max_wal_senders"].value != "0"
        and "wal_level" not in wanted
    ):
        wanted["wal_level"] = Setting(
            "wal_level", "replica", "max_wal_senders was set, minimal does not allow any"
        )
    chosen |= wanted
    return tuple(setting for setting in chosen.values() if setting.since <= major <= setting.until)


def arguments(settings: Iterable[Setting]) -> list[str]:
    """Return the settings as arguments of ``postgres``."""
    return [part for setting in settings for part in ("-c", f"{setting.name}={setting.value}")]


def _override(name: str, value: Value) -> Setting:
    if not _NAME.fullmatch(name):
        raise _refused(name, "not the name of a setting")
    if name in _OURS:
        raise _refused(name, "freshpg sets it to keep the server private and findable")
    if "\0" in str(value):
        raise _refused(name, "the value holds a NUL character")
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return Setting(name, text, "set by the user")


def _refused(name: str, seen: str) -> SettingsInvalid:
    return SettingsInvalid(
        "settings for PostgreSQL were read",
        on=f"settings = {{ {name!r} = … }}",
        seen=seen,
        todo=(
            "take it out of [tool.freshpg] settings",
            "names are those of PostgreSQL's documentation, in lower case",
        ),
        name=name,
    )
