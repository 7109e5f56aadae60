"""Whose failure: by code, by SQLSTATE, by what happened to the server; a test's own is never taken for another's."""

import psycopg
import pytest

from freshpg.core.errors import (
    KeeperGone,
    MigrationFailed,
    NotProven,
    ServerDied,
    StatementFailed,
)
from freshpg.supervision.failures import Failure, classify, ends_a_connection


def raised(make):
    with pytest.raises(Exception) as caught:  # noqa: PT011 (any: its owner is the question)
        make()
    return caught.value


def server_error(state):
    return psycopg.errors.lookup(state)("what the server said")


@pytest.mark.parametrize(
    "error, kind, code",
    [
        (ServerDied("x"), "infrastructure", "FPG-S08"),
        (KeeperGone("x"), "infrastructure", "FPG-S15"),
        (MigrationFailed("x"), "yours", "FPG-T01"),
        (NotProven("x"), "ours", "FPG-D06"),
        (AssertionError("1 == 2"), "yours", "PY-AssertionError"),
        (ConnectionResetError(), "yours", "PY-ConnectionResetError"),
    ],
)
def test_an_error_has_an_owner_and_a_code(error, kind, code):
    failure = classify(error)
    assert (failure.kind, failure.code) == (kind, code)
    assert failure.is_infrastructure is (kind == "infrastructure")


@pytest.mark.parametrize("state", ["23505", "42P01", "57014", "57P01", "08006", "53300", "40P01"])
def test_what_a_test_can_bring_about_is_its_own_while_the_server_lives(state):
    assert classify(server_error(state)) == Failure(
        "yours", f"SQL-{state}", state, f"SQLSTATE {state}"
    )


@pytest.mark.parametrize("state", ["53100", "53200", "57P02", "57P03", "58030", "XX001"])
def test_what_no_statement_brings_about_is_the_infrastructures(state):
    assert classify(server_error(state)).kind == "infrastructure"


@pytest.mark.parametrize("error", [AssertionError("status 500"), server_error("23505")])
def test_whatever_fails_once_the_server_was_lost_is_a_consequence(error):
    failure = classify(error, lost=ServerDied("a database was out"))
    assert (failure.kind, failure.code) == ("infrastructure", "FPG-S08")


def test_the_cause_of_an_exception_is_found():
    def fails():
        try:
            raise server_error("53100")
        except psycopg.Error as error:
            raise RuntimeError("the repository failed") from error

    assert classify(raised(fails)).sqlstate == "53100"


def test_the_context_of_an_exception_is_found():
    def fails():
        try:
            raise ServerDied("a look was taken")
        finally:
            raise RuntimeError("the clean-up failed too")

    assert classify(raised(fails)).code == "FPG-S08"


def test_a_hidden_context_stays_hidden():
    def fails():
        try:
            raise server_error("53100")
        except psycopg.Error:
            raise AssertionError("told otherwise") from None

    assert classify(raised(fails)).kind == "yours"


def test_members_of_a_group_are_looked_at():
    group = ExceptionGroup("two", [ValueError("x"), ServerDied("x")])
    assert classify(group).kind == "infrastructure"


def test_a_drivers_exception_inside_of_anothers_is_found():
    class OperationalError(Exception):
        orig = server_error("53200")

    class Psycopg2Error(Exception):
        pgcode = "57P03"

    assert classify(OperationalError()).sqlstate == "53200"
    assert classify(Psycopg2Error()).kind == "infrastructure"


def test_a_circle_of_causes_ends():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert classify(one).kind == "yours"


def test_a_refused_control_statement_is_ours():
    failure = classify(StatementFailed("x", sqlstate="42601"))
    assert (failure.kind, failure.code, failure.sqlstate) == ("ours", "FPG-S13", "42601")


def test_what_may_be_the_first_sign_of_a_servers_end_is_what_ends_a_connection():
    ends = [
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is closed"),
        *map(server_error, ("57P01", "57P02", "57P03", "08006")),
        ConnectionResetError(),
        ServerDied("x"),
        RuntimeError("of a framework"),
    ]
    ends[-1].__cause__ = ends[0]
    others = [
        AssertionError("1 == 2"),
        *map(server_error, ("23505", "57014", "53300")),
        MigrationFailed("x"),
    ]

    assert [error for error in ends if not ends_a_connection(error)] == []
    assert [error for error in others if ends_a_connection(error)] == []
