"""Sequences: they move outside transactions, and their values are logged 32 ahead."""

from isolation.changes.change import Change


def _many_connections(hands):
    for _ in range(3):
        hands.open().execute("SELECT nextval('cached_ticket')")


CHANGES = [
    Change("take a value", "SELECT nextval('ticket')"),
    Change("take the first value of an unused sequence", "SELECT nextval('unused_ticket')"),
    Change("take a second value, which is not logged", ("SELECT nextval('ticket')", "SELECT nextval('ticket')")),
    Change("take a value in rolled back work", ("BEGIN", "SELECT nextval('ticket')", "ROLLBACK")),
    Change("move an identity in rolled back work", (
        "BEGIN", "INSERT INTO customer (name) VALUES ('nobody')", "ROLLBACK",
    )),
    Change("move an identity by an insert that fails", (
        "INSERT INTO customer (name) VALUES ('Ada') ON CONFLICT DO NOTHING"
    )),
    Change("move a serial", ("INSERT INTO extra.thing (label) VALUES ('two')", "DELETE FROM extra.thing WHERE id = 2")),
    Change("take values through several caches", _many_connections),
    Change("take a value of an unlogged sequence", "SELECT nextval('loose_ticket')"),
    Change("set a value", "SELECT setval('ticket', 1000)"),
    Change("set the value it has, but not taken", "SELECT setval('ticket', 3, false)"),
    Change("set the value it has", "SELECT setval('ticket', 3)", content=False),
    Change("set a value and put it back", ("SELECT setval('ticket', 77)", "SELECT setval('ticket', 3)"),
        content=False),
    Change("restart", "ALTER SEQUENCE ticket RESTART"),
    Change("restart an identity", "ALTER TABLE customer ALTER id RESTART WITH 500"),
    Change("change increment and bounds", "ALTER SEQUENCE ticket INCREMENT 5 MAXVALUE 1000 CYCLE"),
    Change("change where it would start", "ALTER SEQUENCE unused_ticket START 200"),
    Change("give a sequence to a column", "ALTER SEQUENCE ticket OWNED BY basket.id"),
    Change("create a sequence", "CREATE SEQUENCE fresh_ticket"),
    Change("drop a sequence", "DROP SEQUENCE unused_ticket"),
    Change("make an unlogged sequence logged", "ALTER SEQUENCE loose_ticket SET LOGGED"),
]  # fmt: skip
