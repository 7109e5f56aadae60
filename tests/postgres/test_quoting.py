import psycopg
import pytest

from freshpg.core.errors import NameInvalid
from freshpg.postgres.quoting import ident, literal

NAMES = [
    "shop",
    'we"ird',
    "UPPER",
    "a b",
    "x'; DROP DATABASE postgres; --",
    "ü" * 31,
    "back\\slash",
    "%s",
    "new\nline",
]


@pytest.mark.parametrize("name", NAMES)
def test_an_identifier_means_exactly_its_name(admin, name):
    assert admin.rows(f"SELECT 1 AS {ident(name)}".replace("%", "%%"), ()) == [(1,)]
    with psycopg.connect(**admin.conninfo.keywords()) as connection:
        cursor = connection.execute(f"SELECT 1 AS {ident(name)}".encode())
        assert cursor.description[0].name == name


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "ü" * 32])
def test_a_name_the_server_would_cut_or_refuse_is_refused_here(name):
    with pytest.raises(NameInvalid):
        ident(name)


@pytest.mark.parametrize("standard", ["on", "off"])
@pytest.mark.parametrize("text", ["", "plain", "it's", "\\", "\\'", "a\\nb", "$$", "ü\n", "'; --"])
def test_a_literal_means_exactly_its_text_under_any_setting(server, text, standard):
    with psycopg.connect(**server.keywords()) as connection:
        connection.execute(f"SET standard_conforming_strings = {standard}")
        connection.execute("SET escape_string_warning = off")
        assert connection.execute(f"SELECT {literal(text)}".encode()).fetchone() == (text,)


def test_a_literal_cannot_hold_nul():
    with pytest.raises(NameInvalid):
        literal("a\0b")
