import os
import select
import signal
import subprocess
import sys

import pytest

from freshpg.core.clock import Deadline
from freshpg.leases.coordination import TableIntents, ensure_coordination
from freshpg.leases.sweep import sweep_databases
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases

WORKER = """
import sys
from freshpg.core.clock import SYSTEM_CLOCK
from freshpg.core.conninfo import Conninfo
from freshpg.isolation.audit.watch import Watch
from freshpg.isolation.cloning import CloneSource
from freshpg.isolation.reset import ResetIsolation
from freshpg.isolation.stock import CloneStock
from freshpg.leases.coordination import TableIntents
from freshpg.leases.lease import LeaseConnection
from freshpg.postgres.admin import Admin
from freshpg.postgres.databases import Databases
address = Conninfo.parse(sys.argv[1])
def connect():
    admin = Admin.connect(address)
    return Databases(admin, intents=TableIntents(admin))
source = CloneSource(sys.argv[2], "shop_test", "main", "f1", "postgres")
lease = LeaseConnection.open(address)
stock = CloneStock(connect, source, lease.lease("shop_test", 4))
stock.start()
isolation = ResetIsolation(connect, stock, Watch(stock, address, data=None, clock=SYSTEM_CLOCK))
print("up", flush=True)
while True:
    isolation.leave(isolation.enter("tests/test_x.py::test_y"))
    print("one", flush=True)
"""


@pytest.fixture
def coordination(server, databases):
    return ensure_coordination(server)


def wait_for_lines(process, wanted):
    end, said = Deadline(20.0), b""
    while said.count(b"\n") < wanted:
        ready, _, _ = select.select([process.stdout], [], [], end.remaining)
        assert ready
        said += os.read(process.stdout.fileno(), 65536)


@pytest.mark.parametrize("tests", [0, 1, 3])
def test_a_killed_worker_leaves_no_database(coordination, template, ours, tests):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, coordination.url(), template], stdout=subprocess.PIPE
    )
    try:
        wait_for_lines(process, 1 + tests)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    finally:
        process.kill()
        process.communicate(timeout=20)
    with Admin.connect(coordination) as admin:
        sweeper = Databases(admin, intents=TableIntents(admin))
        end = Deadline(20.0)
        # Backends of the dead finish the statement they are in, so what they hold becomes free a little later.
        while ours() or sweeper.intents.pending():
            sweep_databases(sweeper)
            assert not end.expired, ours()
