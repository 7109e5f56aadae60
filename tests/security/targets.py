"""What must never be touched, and what may: names, comments, paths. Data for test_targets.py."""

from __future__ import annotations

import json

from freshpg.postgres.mark import Mark

LONG = "x" * 63

NAMES = [
    # Somebody's work.
    "prod", "production", "shop", "shop_production", "shop_prod", "live", "shop_live", "main", "primary", "master", "staging",
    "app", "customers", "billing", "accounts", "analytics", "warehouse", "metabase", "gitlabhq_production", "test", "tests",
    "testing", "latest", "contest", "attestation", "reproduction_fixtures", "development", "dev", "ci", "backup", "postgres_old",
    # As ours are called.
    "shop_test", "shop_test_2", "shop_test_64", "shop_test_used_1", "shop_test_readonly", "shop_test_failed_1",
    "shop_test_template_0f1e2d3c4b5a", "shop_test_building_0f1e2d3c4b5a", "freshpg", "freshpg_test", "freshpg_coordination_2",
    "freshpg_doomed_1", "freshpg_doomed_16384", "freshpg_doomed_", "freshpg_kept", "test_shop", "tmp_test",
    # Twins of ours.
    "Shop_Test", "SHOP_TEST", "shop_test ", " shop_test", "shop_tes", "shop_testx", "shop-test", "shop_te\u0301st", "shop_t\u00e9st",
    "shop_test\u200b", "\u202eshop_test", "\uff53hop_test", "sh\u043ep_test", "shop_test\u00a0",
    # What a shell, a path, a pattern, an address or SQL would read in another way.
    'a"b', 'shop_test"', "a'b", "a;drop database postgres", "a--b", "a/*b*/", "..", "../../etc", "a/b", "/", "a\nb", "a\tb", "a\x1b[2Jb",
    "-rf", "--help", "$(id)", "`id`", "%", "_", "shop%", "shop_tes_", "*", "postgresql://evil/", "dbname=x host=evil", "host=evil",
    "select", "all", "sameuser", "samerole", "replication", "user", "null", "NULL", "0", "16384", "\U0001f600" * 15, LONG, "x" * 62,
]  # fmt: skip


def comments(oid, system):
    """Comments that prove nothing about the database with that oid on that cluster."""
    right = json.loads(Mark("slot", "main", oid=oid, system=system).to_comment())
    said = {**right, "oid": oid + 1}

    def spelled(**changes):
        return json.dumps({**right, **changes})

    return [
        None,
        "the customers of 2019, do not touch",
        "freshpg",
        json.dumps(said),
        spelled(system=str(int(system) + 1)),
        spelled(freshpg=2),
        spelled(kind="mine"),
        spelled(oid=0),
        spelled(oid=-oid),
        spelled(oid=oid + 2**32),
        spelled(system=""),
        spelled(oid=None),
        spelled(oid=[oid]),
        json.dumps([right]),
        json.dumps({key: value for key, value in right.items() if key != "oid"}),
        json.dumps({key: value for key, value in right.items() if key != "system"}),
        json.dumps({"Freshpg": 1, **{key: value for key, value in right.items() if key != "freshpg"}}),
        f"{json.dumps(right)} and more",
        f"// {json.dumps(right)}",
        json.dumps(right)[:-1],
        json.dumps(right).replace('"oid"', '"oid":1,"oid_"'),
        f'{json.dumps(right)[:-1]}, "oid": 1}}',
        json.dumps(json.dumps(right)),
    ]  # fmt: skip


OVERLONG = [
    f"{LONG}_test", f"{LONG}x", "x" * 64, "x" * 100, "x" * 1000, f"{LONG}\u00e9", f"{'x' * 62}\u00e9", f"{LONG};drop", f'{LONG}"',
    f"{LONG}\x00_test", f"{'x' * 10}\x00", "\x00", f"{LONG}\ud800",
]  # fmt: skip
"""Names that PostgreSQL or a driver would cut to the name of another database."""

KINDS = ("template", "building", "slot", "ready", "readonly", "failed", "coordination", "scratch")

OURS = [
    *(f"shop_test_{number}" for number in range(2, 12)),
    *(f"shop_test_used_{number}" for number in range(1, 6)),
    "shop_test", "shop_test_readonly", "shop_test_failed_1", "shop_test_template_0f1e2d3c4b5a", "shop_test_99",
    "Shop_Test", "t\u00e9st", 'a"b', "a'b", "a b", "select", "x" * 63, "\U0001f600" * 15, "a/b", "-rf", "%", "$(id)",
]  # fmt: skip


def paths_never(root, home):
    """Paths that no claim may lead to, below a root and a place of somebody else's."""
    shelves = ("servers", "sockets", "claims", "images")
    return [
        "", "/", "//", ".", "..", "/etc", "/etc/passwd", "/tmp", "/dev/shm", "/root", "/home", "/var/lib/postgresql", "/proc/1", "~", "~/x",
        "relative", "relative/x/y", "servers/x", f"{home}", f"{home}/precious", f"{home}/precious/file", root, f"{root}/", f"{root}//",
        *(f"{root}/{shelf}" for shelf in shelves), *(f"{root}/{shelf}/" for shelf in shelves), *(f"{root}/{shelf}/." for shelf in shelves),
        *(f"{root}/{shelf}/.." for shelf in shelves), *(f"{root}/{shelf}/../.." for shelf in shelves),
        *(f"{root}//{shelf}/x" for shelf in shelves), *(f"{root}/./{shelf}/x" for shelf in shelves),
        *(f"{root}/{shelf}/x/../../../{home.rpartition('/')[2]}/precious" for shelf in shelves), *(f"{root}x/{shelf}/y" for shelf in shelves),
        *(f"{root}/{shelf}/x\x00" for shelf in shelves), *(f" {root}/{shelf}/x" for shelf in shelves),
        f"{root}/keeper.sock", f"{root}/keeper.lock", f"{root}/..", f"{root}/../x", f"{root}/*", f"{root}*/servers/x",
        f"{root}/linked/precious", f"{root}/linked/precious/file", f"{root}/open/victim", f"{root}/theirs/victim", f"{root}/servers/link/precious",
        f"{root}/servers/link/precious/file", f"{root}/file/x", f"{root}/pipe/x",
    ]  # fmt: skip
