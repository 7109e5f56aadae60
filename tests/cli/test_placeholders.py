import pytest

from freshpg.cli.placeholders import PLACEHOLDERS, Address, Assignment
from freshpg.core.conninfo import Conninfo
from freshpg.core.errors import UrlInvalid, UsageInvalid

TCP = Address(Conninfo("127.0.0.1", 5440, "postgres", "s3cret/", "app"), "/run/sockets")
SOCKET = Address(Conninfo("/run/sockets", 5432, "postgres", dbname="app"), "/run/sockets")


@pytest.mark.parametrize(
    "text, address, value",
    [
        ("DSN={url}", TCP, "postgresql://postgres:s3cret%2F@127.0.0.1:5440/app"),
        ("DSN={url:asyncpg}", TCP, "postgresql://postgres:s3cret%2F@127.0.0.1:5440/app"),
        ("DSN={url:sqlalchemy+psycopg}", SOCKET, "postgresql+psycopg://postgres@/app?host=/run/sockets&port=5432"),
        ("DSN={url:jdbc}", TCP, "jdbc:postgresql://127.0.0.1:5440/app?user=postgres&password=s3cret%2F"),
        ("WHERE={host}:{port}", TCP, "127.0.0.1:5440"),
        ("WHO={user}/{password}", TCP, "postgres/s3cret/"),
        ("PASSWORD={password}", SOCKET, ""),
        ("NAME=test-{database}", SOCKET, "test-app"),
        ("DIRECTORY={socket}", TCP, "/run/sockets"),
        ('JSON={{"db": "{database}"}}', TCP, '{"db": "app"}'),
        ("EMPTY=", TCP, ""),
        ("EQUALS=a=b", TCP, "a=b"),
    ],
)  # fmt: skip
def test_a_template_is_filled_in(text, address, value):
    assert Assignment.parse(text).fill(address) == value


@pytest.mark.parametrize("text", ["DSN", "={url}", "MY DSN={url}", "1ST={url}", ""])
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(UsageInvalid, match="NAME=TEMPLATE"):
        Assignment.parse(text)


def test_an_unknown_placeholder_is_answered_with_the_nearest():
    with pytest.raises(UsageInvalid) as caught:
        Assignment.parse("DSN={databse}")

    assert "there is no placeholder {databse}" in caught.value.seen
    assert caught.value.todo[0] == "did you mean {database}?"
    assert all(f"{{{name}}}" in str(caught.value) for name in PLACEHOLDERS)


def test_jdbc_without_a_port_says_which_option_gives_one():
    with pytest.raises(UrlInvalid, match="--tcp"):
        Assignment.parse("DSN={url:jdbc}").fill(SOCKET)
