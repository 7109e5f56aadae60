"""The one place that makes and checks names of databases.

PostgreSQL cuts identifiers at 63 bytes without an error
(https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS), so a name one byte too
long silently means another database. Every name is therefore counted in UTF-8 bytes before it is used.
"""

from __future__ import annotations

import re
import unicodedata

from freshpg.core.errors import NameInvalid

MAX_BYTES = 63
"""NAMEDATALEN - 1."""

RESERVED = frozenset(
    {
        "postgres",
        "template0",
        "template1",
        "all",
        "sameuser",
        "samerole",
        "samegroup",
        "replication",
    }
)
"""Databases of every server, and words that ``pg_hba.conf`` reads as something else."""

SUFFIX_BYTES = 22
"""Room kept for the longest ending of ours, ``_template_`` with twelve hexadecimal digits."""

_CUT = 12
_PLAIN = 17
_ENDING = r"(_([0-9]+|template_[0-9a-f]+|building_[0-9a-f]+|used_[0-9]+|failed_[0-9]+|readonly|tenantdb))+"


def validate_database_name(name: str) -> str:
    """Return ``name`` when a blueprint may use it.

    Raises:
        NameInvalid: It is empty, holds NUL or control characters, is reserved, or leaves no room for endings.
    """
    problem = _problem(name)
    if problem:
        raise NameInvalid(
            "a database name was checked before anything was made",
            on=repr(name),
            seen=problem,
            todo=(
                "choose a plain name such as 'shop_test' in [tool.freshpg.databases.<blueprint>] name = ...",
            ),
            name=name,
        )
    return name


def _problem(name: object) -> str:
    if not isinstance(name, str):
        return f"a {type(name).__name__}, not a string"
    if not name.strip():
        return "the name is empty"
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        return "it holds a NUL, another control character or half a surrogate pair"
    if name.lower() in RESERVED:
        return (
            "this name is reserved: it belongs to the server or means something else in pg_hba.conf"
        )
    size = len(name.encode())
    if size > MAX_BYTES - SUFFIX_BYTES:
        return (
            f"{size} bytes in UTF-8; freshpg needs {SUFFIX_BYTES} of PostgreSQL's {MAX_BYTES} bytes for its endings, "
            f"so at most {MAX_BYTES - SUFFIX_BYTES} are left"
        )
    return ""


def default_database_name(project: str, blueprint: str = "main") -> str:
    """Return the name where none is configured: the folder's name, made plain, with ``_test``.

    Blueprints other than ``main`` have theirs in between: ``shop_eventstore_test``.
    """
    words = (project, "" if blueprint == "main" else blueprint)
    plain = [word for word in (_plain(word) for word in words) if word]
    return f"{'_'.join(plain) or 'app'}_test"


def _plain(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_text.lower()).strip("_")[:_PLAIN].strip("_")


def slot_name(base: str, number: int) -> str:
    """Return the name of slot ``number``, counted from one: ``shop_test``, ``shop_test_2`` and so on."""
    return base if number == 1 else f"{base}_{number}"


def template_name(base: str, fingerprint: str) -> str:
    """Return the name of the template with this fingerprint: ``shop_test_template_1a2b3c4d5e6f``."""
    return f"{base}_template_{fingerprint[:_CUT]}"


def building_name(base: str, token: str) -> str:
    """Return the name of a template while it is built: ``shop_test_building_0f1e2d3c4b5a``.

    A name of its own, never used twice: programs that a killed builder left running cannot reach the next attempt.
    """
    return f"{base}_building_{token[:_CUT]}"


def used_name(base: str, number: int) -> str:
    """Return where the used database of a slot waits to be dropped once it is replaced: ``shop_test_used_1``."""
    return f"{base}_used_{number}"


def readonly_name(base: str) -> str:
    """Return the name of the shared database of level ``readonly``."""
    return f"{base}_readonly"


def failed_name(base: str, number: int) -> str:
    """Return the name under which the database of a failed test is kept: ``shop_test_failed_1``."""
    return f"{base}_failed_{number}"


def tenants_base(base: str) -> str:
    """Return the base name of the databases that tenants of tests have: ``shop_test_tenantdb``, with slots of its own."""
    return f"{base}_tenantdb"


def doomed_name(oid: int) -> str:
    """Return the name under which a database with that oid is dropped on somebody else's server: ``freshpg_doomed_16385``."""
    return f"freshpg_doomed_{oid}"


def is_derived_name(name: str, base: str) -> bool:
    """Say whether ``name`` is one that the functions above can make out of ``base``."""
    return name.startswith(base) and re.fullmatch(_ENDING, name[len(base) :]) is not None
