"""Run the benchmarks and write one table: ``results.json`` and ``results.md``."""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks import (
    clones,
    data_files,
    isolation,
    machine,
    memory,
    per_test,
    plugin_import,
    recovery,
    safety,
    starts,
)
from benchmarks.ground import prepared_ground
from benchmarks.rows import to_markdown
from benchmarks.tenants import footprint, load, pools

HERE = Path(__file__).parent
BENCHMARKS = {
    module.NAME: module
    for module in (
        starts,
        clones,
        per_test,
        isolation,
        memory,
        plugin_import,
        data_files,
        safety,
        recovery,
        pools,
        footprint,
        load,
    )
}
HEADING = "| what | under which conditions | median | min, quartiles, n | compared | to reach | |\n|---|---|---|---|---|---|---|\n"


def main() -> int:
    """Run what was asked for; 0 also when a target is missed, which the table says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few rounds and small schemas: that it works, not figures",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=BENCHMARKS,
        metavar="NAME",
        help=f"one of: {', '.join(BENCHMARKS)}",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="directory for the results; by default this one, with --quick none",
    )
    parser.add_argument(
        "--ordinary", action="store_true", help="do not ask for real-time scheduling"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ResourceWarning)
    facts = machine.facts(realtime=not asked.ordinary and machine.shield())
    rows: list[dict[str, Any]] = []
    with prepared_ground() as ground:
        for name in asked.only or BENCHMARKS:
            began = time.monotonic()
            print(f"\n## {name}\n\n{HEADING}", end="", flush=True)
            for row in BENCHMARKS[name].run(ground, quick=asked.quick):
                rows.append(row.to_json())
                print(to_markdown(rows[-1]), flush=True)
            print(f"\n({time.monotonic() - began:.0f} s)", flush=True)
    output = asked.output or (None if asked.quick else HERE)
    if output is not None:
        _write(output, facts, rows, only=asked.only)
    return 0


def _write(
    output: Path, facts: dict[str, Any], new: list[dict[str, Any]], *, only: list[str] | None
) -> None:
    """Write both files; with ``--only``, the other benchmarks' rows of an earlier run stay."""
    output.mkdir(parents=True, exist_ok=True)
    machine_readable = output / "results.json"
    if only and machine_readable.exists():
        old = json.loads(machine_readable.read_text())
        new = [row for row in old["rows"] if row["benchmark"] not in only] + new
        facts = _with_later_run(old["facts"], facts, only)
    machine_readable.write_text(
        json.dumps({"facts": facts, "rows": new}, indent=1, ensure_ascii=False) + "\n"
    )
    lines = [
        "# What was measured",
        "",
        "Written by `make bench`; do not edit. The machine is not quiet: compare inside one table.",
        "",
    ]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    for name in BENCHMARKS:
        part = [to_markdown(row) for row in new if row["benchmark"] == name]
        if part:
            lines += ["", f"## {name}", "", HEADING.rstrip(), *part]
    (output / "results.md").write_text("\n".join(lines) + "\n")


def _with_later_run(
    facts: dict[str, Any], later: dict[str, Any], names: list[str]
) -> dict[str, object]:
    """Say what was measured another time than the rest, and under which circumstances."""
    told = {name: later[name] for name in ("date", "scheduling", "load")}
    return facts | {"later": {**facts.get("later", {}), **dict.fromkeys(names, told)}}


if __name__ == "__main__":
    sys.exit(main())
