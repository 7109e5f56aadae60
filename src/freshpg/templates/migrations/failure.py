"""What an exception in somebody else's code says: gathered where it is caught, told where it is shown."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import DiskFull, MigrationFailed
from freshpg.postgres import sqlstate
from freshpg.templates.migrations.diagnosis import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freshpg.core.errors import FreshpgError

_LIBRARIES = (
    "site-packages",
    "dist-packages",
    f"{os.sep}lib{os.sep}python",
    "<frozen",
    "<string>",
    f"freshpg{os.sep}templates",
)


def describe(error: BaseException, root: str) -> dict[str, Any]:
    """Return what an exception says as plain data: it may have to cross a process boundary."""
    report: dict[str, Any] = {
        "type": type(error).__name__,
        "message": _message(error),
        **_place(error, root),
    }
    for one in _chain(error):
        diag = getattr(one, "diag", None)
        sqlstate = getattr(one, "sqlstate", None) or getattr(one, "pgcode", None)
        if statement := getattr(one, "statement", None):
            report.setdefault("statement", shorten(str(statement)))
        if sqlstate and "sqlstate" not in report:
            report["sqlstate"] = str(sqlstate)
            report["server"] = {
                "message": getattr(diag, "message_primary", None)
                or getattr(one, "message", None)
                or str(one),
                "detail": getattr(diag, "message_detail", None)
                or getattr(one, "detail", None)
                or "",
                "hint": getattr(diag, "message_hint", None) or getattr(one, "hint", None) or "",
            }
    return report


def judge(state: str | None, *todo: str) -> tuple[type[FreshpgError], tuple[str, ...]]:
    """Return the error that a SQLSTATE in a step means, and what to do: a full disk is no fault of the step."""
    if state == sqlstate.DISK_FULL:
        return DiskFull, (
            "free space where the server keeps its data; nothing was left behind there",
            "keep freshpg's servers in a roomier directory: FRESHPG_RUNTIME=/path",
        )
    return MigrationFailed, todo


def failed(spec: str, report: dict[str, Any], output: str = "") -> FreshpgError:
    """Return the error for a step whose code raised what ``report`` describes."""
    file, line = report.get("file", ""), report.get("line", 0)
    server = report.get("server", {})
    words = [f"{report['type']}: {report['message']}" if report["message"] else report["type"]]
    if server:
        words.append(f"the server said: {report['sqlstate']}: {server['message']}")
        words += [
            f"{label}: {server[key]}"
            for label, key in (("DETAIL", "detail"), ("HINT", "hint"))
            if server[key]
        ]
    if statement := report.get("statement"):
        words.append(f"statement: {statement}")
    if code := report.get("code"):
        words.append(f"line {line}: {code}")
    words += [f"| {one}" for one in output.splitlines()[-8:]]
    kind, todo = judge(
        report.get("sqlstate"), "correct it; nothing was left behind, the next run starts clean"
    )
    return kind(
        f"{spec} stopped" + (f" in {file}, line {line}" if file else ""),
        on=f"{file}:{line}" if file else spec,
        seen="\n".join(words),
        todo=todo,
        step=spec,
        file=file,
        line=line,
        statement=statement or "",
        sqlstate=report.get("sqlstate"),
        message=server.get("message", report["message"]),
        detail=server.get("detail", ""),
        hint=server.get("hint", ""),
        exception=report["type"],
        output=output,
    )


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    lines = str(error).strip().splitlines()
    return "\n".join(lines[:8])


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those behind it; SQLAlchemy and Django wrap the driver's."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        original = getattr(one, "orig", None)
        waiting += [
            original if isinstance(original, BaseException) else None,
            one.__cause__,
            one.__context__,
        ]


def _place(error: BaseException, root: str) -> dict[str, Any]:
    """Return where the user's code stood: the innermost frame that is no library's."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        return {
            "file": _relative(error.filename, root),
            "line": error.lineno or 0,
            "code": (error.text or "").strip(),
        }
    for frame in reversed(frames):
        if not any(mark in frame.filename for mark in _LIBRARIES) or frame.filename.startswith(
            root + os.sep
        ):
            if ".venv" in frame.filename:
                continue
            return {
                "file": _relative(frame.filename, root),
                "line": frame.lineno or 0,
                "code": frame.line or "",
            }
    return {}


def _relative(file: str, root: str) -> str:
    return os.path.relpath(file, root) if file.startswith(root + os.sep) else file
