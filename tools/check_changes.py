"""Refuse a fragment in changes/ that the changelog could not be built from."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def fragment_types(root: Path) -> list[str]:
    """The kinds of change pyproject.toml knows, in the changelog's order."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return [kind["directory"] for kind in settings["tool"]["towncrier"]["type"]]


def faults(root: Path) -> list[str]:
    """One sentence for each file in changes/ that is misnamed or empty."""
    types = fragment_types(root)
    # 42.fix.md belongs to issue 42, +slug.fix.md to none.
    valid = re.compile(rf"(\d+|\+[a-z0-9-]+)\.({'|'.join(types)})(\.\d+)?\.md")
    found = []
    for path in sorted((root / "changes").iterdir()):
        if path.name == "README.md":
            continue
        if not valid.fullmatch(path.name):
            found.append(
                f"changes/{path.name}: want <issue>.<kind>.md or +<slug>.<kind>.md, "
                f"with one of the kinds {', '.join(types)}"
            )
        elif not path.read_text(encoding="utf-8").strip():
            found.append(f"changes/{path.name}: is empty, write what changed and what to do")
    return found


def main() -> int:
    """Print the faults, then prove with towncrier that a draft builds."""
    found = faults(ROOT)
    for fault in found:
        print(fault, file=sys.stderr)
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"]
    draft = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if draft.returncode != 0:
        print(draft.stdout + draft.stderr, file=sys.stderr)
    return 1 if found or draft.returncode != 0 else 0


if __name__ == "__main__":
    raise SystemExit(main())
