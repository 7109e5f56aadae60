"""Which statements touch transactions, told by their text alone."""

import pytest

from freshpg.isolation.rollback.statements import control_in


def kind(text):
    control = control_in(text.encode())
    return control and control.kind


@pytest.mark.parametrize(
    "text, expected",
    [
        ("BEGIN", "begin"),
        ("start transaction isolation level serializable, read only;", "begin"),
        ("  -- first\n/* then\n*/ COMMIT  ", "commit"),
        ("END WORK AND NO CHAIN", "commit"),
        ("abort", "rollback"),
        ("ROLLBACK TRANSACTION AND CHAIN;;", "rollback"),
        ("ROLLBACK TO a", "savepoint"),
        ("ROLLBACK WORK TO SAVEPOINT a", "savepoint"),
        ("SAVEPOINT a", "savepoint"),
        ("RELEASE a", "savepoint"),
        ("PREPARE TRANSACTION 'x'", "two-phase"),
        ("COMMIT PREPARED 'x'", "two-phase"),
        ("ROLLBACK PREPARED 'x'", "two-phase"),
        ("PREPARE x AS SELECT 1", "prepares"),
        ("DEALLOCATE ALL", "forgets"),
        ("SELECT 1; COMMIT", "mixed"),
        ("BEGIN; SELECT 1; COMMIT;", "mixed"),
        ("SELECT $$;$$; /* ; */ END", "mixed"),
        ("SAVEPOINT a; SELECT 1", "savepoint"),
        ("SELECT 1; PREPARE x AS SELECT 1", "prepares"),
    ],
)
def test_what_touches_transactions_is_known(text, expected):
    assert kind(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT CASE WHEN true THEN 1 END",
        "SELECT 'COMMIT'; SELECT '; COMMIT;'",
        "SELECT 1 -- ; COMMIT",
        "DO $$ BEGIN NULL; END $$",
        "DO $$ BEGIN NULL; END $$; SELECT 1",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; SELECT 2",
        'SELECT "commit" FROM "end"',
        "COMMITTED",
        "",
        ";;",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text):
    assert kind(text) is None


def test_modes_and_chain_are_kept():
    assert control_in(b"BEGIN TRANSACTION READ  ONLY").modes == "READ ONLY"
    assert control_in(b"COMMIT AND CHAIN").chain
    assert not control_in(b"COMMIT AND NO CHAIN").chain


def test_a_long_text_is_read_as_well():
    assert kind("COMMIT" + " " * 10_000) == "commit"
    assert kind("INSERT INTO t VALUES (1);" * 1000 + "COMMIT") == "mixed"
