"""What tests of isolation do, the same for all that are compared: one body a driver and a kind of change."""

from __future__ import annotations

# Several statements in one call: more tables then make more to undo, not more calls.
_TABLES = """
NOTHING = "SELECT count(*) FROM item_1"
ONE = "INSERT INTO item_1 (name) VALUES ('x')"
FIVE = ";".join(f"INSERT INTO item_{{number}} (name) VALUES ('x')" for number in range(1, 6))
FIFTY = ";".join(f"INSERT INTO item_{{number}} (name) VALUES ('x')" for number in range(50))
SEED = "UPDATE item_2 SET name = 'y' WHERE id = 1"
ALTER = "ALTER TABLE item_1 ADD COLUMN extra int"
COUNT = "SELECT count(*) FROM item_1"
"""

PSYCOPG = (
    _TABLES
    + """
def nothing(connection):
    pass

def reads(connection):
    assert connection.execute(COUNT).fetchone() == (0,)

def one(connection):
    connection.execute(ONE)
    assert connection.execute(COUNT).fetchone() == (1,)

def committed(connection):
    connection.execute(ONE)
    assert connection.execute(COUNT).fetchone() == (1,)
    connection.commit()

def five(connection):
    connection.execute(FIVE)
    assert connection.execute(COUNT).fetchone() == (1,)

def fifty(connection):
    connection.execute(FIFTY)
    assert connection.execute(COUNT).fetchone() == (1,)

def seed(connection):
    connection.execute(SEED)
    assert connection.execute(COUNT).fetchone() == (0,)

def alters(connection):
    connection.execute(ALTER)
    assert connection.execute(COUNT).fetchone() == (0,)
"""
)

SQLALCHEMY = (
    "from sqlalchemy import text\n"
    + _TABLES
    + """
ONE, COUNT = text(ONE), text(COUNT)

def one(session):
    session.execute(ONE)
    session.commit()
    assert session.execute(COUNT).scalar() == 1
"""
)

DJANGO = """
from stock.models import MODELS

def one():
    MODELS[1].objects.create(name="x")
    assert MODELS[1].objects.count() == 1
"""

WORDS = {
    "nothing": "nothing written, nothing asked",
    "reads": "nothing written, one query",
    "one": "one row",
    "committed": "one row, BEGIN and COMMIT",
    "five": "five tables",
    "fifty": "fifty tables",
    "seed": "a seeded row changed",
    "alters": "a column added",
}
"""Each body, for a person."""
