"""Sequences are put where they are wanted, those that moved alone."""

import pytest

from freshpg.core.errors import StatementFailed
from freshpg.postgres.admin import Admin
from freshpg.postgres.schema.reader import read_schema
from freshpg.postgres.schema.sequences import State, first_state, read_states, reset_sequences


def states(inside, schema):
    by_oid = read_states(inside, schema.sequences)
    return {one.name: by_oid[one.oid] for one in schema.sequences}


@pytest.fixture
def asked(monkeypatch):
    statements = []
    run = Admin._run
    monkeypatch.setattr(Admin, "_run", lambda *words: statements.append(words[1]) or run(*words))
    return statements


def test_only_those_that_moved_are_set(inside, schema_of):
    schema = schema_of('CREATE SEQUENCE moved; CREATE SEQUENCE started; CREATE SEQUENCE still; CREATE UNLOGGED SEQUENCE "Un logged"')  # fmt: skip
    inside.execute("SELECT nextval('moved'), setval('still', 5)")
    before = read_states(inside, schema.sequences)
    inside.execute("""SELECT nextval('moved'), nextval('started'), nextval('"Un logged"')""")

    changed = reset_sequences(inside, schema, before)

    assert {one.name for one in changed} == {"moved", "started", "Un logged"}
    assert read_states(inside, schema.sequences) == before
    assert inside.one("SELECT nextval('moved'), nextval('started'), nextval('still')") == (2, 1, 6)


def test_one_that_is_called_differs_from_one_that_is_not(inside, schema_of):
    schema = schema_of("CREATE SEQUENCE s")
    (sequence,) = schema.sequences
    inside.execute("SELECT nextval('s')")

    assert states(inside, schema) == {"s": State(1, is_called=True)}
    assert reset_sequences(inside, schema, {sequence.oid: State(1, is_called=False)}) == (sequence,)
    assert states(inside, schema) == {"s": State(1, is_called=False)}


def test_all_are_set_on_request(inside, schema_of):
    schema = schema_of("CREATE SEQUENCE s")
    (sequence,) = schema.sequences

    wanted = {sequence.oid: State(1, is_called=False)}
    assert reset_sequences(inside, schema, wanted) == ()
    assert reset_sequences(inside, schema, wanted, only_moved=False) == (sequence,)


def test_what_is_not_wanted_stays(inside, schema_of):
    schema = schema_of("CREATE SEQUENCE s; CREATE SEQUENCE t")
    inside.execute("SELECT nextval('s'), nextval('t')")
    s, _ = schema.sequences

    reset_sequences(inside, schema, {s.oid: first_state(s), 1: State(7, is_called=True)})

    assert states(inside, schema) == {"s": State(1, is_called=False), "t": State(1, is_called=True)}


def test_a_thousand_take_two_statements(inside, asked):
    inside.execute(
        "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE 'CREATE SEQUENCE s' || i; END LOOP; END $$"
    )
    schema = read_schema(inside)
    wanted = {one.oid: State(9, is_called=True) for one in schema.sequences}
    asked.clear()

    assert len(reset_sequences(inside, schema, wanted)) == 1000
    assert len(asked) == 2


def test_nothing_wanted_asks_nothing(inside, schema_of, asked):
    schema = schema_of("CREATE SEQUENCE s")
    asked.clear()

    assert reset_sequences(inside, schema, {}) == ()
    assert asked == []


@pytest.mark.parametrize(
    "made, value",
    [
        ("s", 1),
        ("s START 7", 1),
        ("s MINVALUE 100", 100),
        ("s INCREMENT -1", -1),
        ("s INCREMENT -1 MAXVALUE 10 START 5", 1),
    ],
)
def test_from_one_means_from_where_the_sequence_may_begin(inside, schema_of, made, value):
    schema = schema_of(f"CREATE SEQUENCE {made}")
    (sequence,) = schema.sequences
    inside.execute("SELECT nextval('s')")

    reset_sequences(inside, schema, {sequence.oid: first_state(sequence)}, only_moved=False)

    assert inside.value("SELECT nextval('s')") == value


def test_one_that_may_be_set_but_not_read_is_set(inside):
    inside.execute("CREATE SEQUENCE s; SELECT nextval('s'); GRANT UPDATE ON SEQUENCE s TO postgres")
    inside.execute("SET LOCAL ROLE postgres")
    schema = read_schema(inside)
    (sequence,) = schema.sequences

    assert read_states(inside, schema.sequences) == {}
    assert reset_sequences(inside, schema, {sequence.oid: first_state(sequence)}) == (sequence,)
    inside.execute("RESET ROLE")
    assert inside.one("SELECT last_value, is_called FROM s") == (1, False)


def test_a_sequence_that_the_role_may_not_set_is_an_error(inside):
    inside.execute("CREATE SEQUENCE s; SET LOCAL ROLE postgres")
    schema = read_schema(inside)
    (sequence,) = schema.sequences

    with pytest.raises(StatementFailed, match="permission denied"):
        reset_sequences(inside, schema, {sequence.oid: first_state(sequence)})


def test_a_sequence_that_is_gone_is_an_error(inside, schema_of):
    schema = schema_of("CREATE SEQUENCE s")
    inside.execute("DROP SEQUENCE s")

    with pytest.raises(StatementFailed, match="does not exist"):
        reset_sequences(inside, schema, {schema.sequences[0].oid: State(1, is_called=True)})
