import pytest

from freshpg.core import errors
from freshpg.postgres import sqlstate


@pytest.mark.parametrize(
    "state, expected",
    [
        (None, errors.ServerDied),
        ("08006", errors.ServerUnreachable),
        ("28P01", errors.LoginRefused),
        ("53300", errors.TooManyConnections),
        ("53100", errors.DiskFull),
        ("55006", errors.DatabaseBusy),
        ("3D000", errors.DatabaseGone),
        ("57014", errors.WaitTimedOut),
        ("55P03", errors.WaitTimedOut),
        ("57P01", errors.ServerDied),
        ("42601", errors.StatementFailed),
    ],
)
def test_a_failed_control_statement_becomes_the_error_its_sqlstate_means(state, expected):
    assert sqlstate.error_class(state) is expected


@pytest.mark.parametrize(
    "state, expected",
    [
        (None, "infrastructure"),
        ("08006", "infrastructure"),
        ("53200", "infrastructure"),
        ("57P01", "infrastructure"),
        ("57014", "yours"),
        ("23505", "yours"),
        ("42P01", "yours"),
    ],
)
def test_a_failed_statement_of_the_user_has_an_origin(state, expected):
    assert sqlstate.origin(state) == expected
