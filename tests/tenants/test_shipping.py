"""What an application ships: pools without anything that tests need."""

import json
import subprocess
import sys

BAGGAGE = (
    "asyncio",
    "click",
    "freshpg.isolation",
    "freshpg.leases",
    "freshpg.manager",
    "freshpg.servers",
    "freshpg.templates",
    "freshpg.testing",
    "psycopg_pool",
    "pytest",
)


def modules_after(statement):
    code = f"import sys\n{statement}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_using_pools_loads_nothing_of_the_test_time():
    without = modules_after("import psycopg")
    loaded = (
        modules_after("import freshpg; freshpg.TenantPools('postgresql:///ws_{tenant}')") - without
    )
    assert [name for name in loaded if name.startswith(BAGGAGE)] == []


def test_the_package_alone_loads_no_driver():
    assert "psycopg" not in modules_after("import freshpg.tenants")
