"""A process that has freshpg imported and lends its children to scenarios: 0.3 s saved on each.

    python nursery.py < orders: one JSON object a line, answered by one

``FRESHPG_FAULTS`` is read when freshpg is imported, so it is set for the life of a nursery.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from chaos.scenarios import SCENARIOS

from freshpg.core.errors import FreshpgError
from freshpg.servers.keeper import spawner

spawner.IDLE_SECONDS = 0.05


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps({"number": order["number"], **run(order)}), flush=True)


def run(order):
    if order.get("segments"):
        return {"segments": Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        be_born(order, writer)
    os.close(writer)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(int(order.get("deadline", 50)))
    try:
        with os.fdopen(reader, encoding="utf-8") as told:
            text = told.read()
        _, status = os.waitpid(child, 0)
    finally:
        left = signal.alarm(0)
    told = json.loads(text) if text else {}
    return {"status": os.waitstatus_to_exitcode(status), "overtime": left == 0, **told}


def be_born(order, writer):
    os.setsid()
    for name in [
        name for name in os.environ if name.startswith("FRESHPG_") and name != "FRESHPG_FAULTS"
    ]:
        del os.environ[name]
    os.environ |= order["environment"]
    os.chdir(order["project"])
    try:
        told = {"told": SCENARIOS[order["scenario"]]() or {}}
    except FreshpgError as error:
        told = {"typed": type(error).__name__, "text": str(error)}
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is told)
        told = {"raw": type(error).__name__, "text": traceback.format_exc()}
    try:
        # What the end of an interpreter does, without what the nursery itself wants at its own end.
        atexit._run_exitfuncs()
    finally:
        os.write(writer, json.dumps(told).encode())
        os._exit(0)


if __name__ == "__main__":
    main()
