"""The catalogue: every kind of change a test can make to a database, one file a family.

Each is carried out in a clone of :data:`TEMPLATE`, and asked: does the deep audit see it, does the quick one, does a
reset undo it. A new kind of change is one more entry here.
"""

from pathlib import Path

from isolation.changes import rows, run_time, schema, sequences, server, settings, storage

TEMPLATE = Path(__file__).with_name("template.sql").read_text()

FAMILIES = {
    "rows": rows.CHANGES,
    "sequences": sequences.CHANGES,
    "schema": schema.CHANGES,
    "settings": settings.CHANGES,
    "server": server.CHANGES,
    "storage": storage.CHANGES,
    "run time": run_time.CHANGES,
}

CHANGES = [change for family in FAMILIES.values() for change in family]
