import io

import pytest

from freshpg.core.errors import MetaCommandRefused
from freshpg.templates.migrations.sqlscript import read_script


def texts(script: str) -> list[str]:
    return [piece.text for piece in read_script(io.BytesIO(script.encode()), "some.sql")]


@pytest.mark.parametrize(
    "command",
    [
        r"\restrict mliZ2eqKIi1R0VvHarLuGmrtkdLSa5CL8EPj2hGLIVfxjpISVLZdALW40ykkrWh",
        r"\unrestrict mliZ2eqKIi1R0VvHarLuGmrtkdLSa5CL8EPj2hGLIVfxjpISVLZdALW40ykkrWh",
        r"\pset format unaligned",
        r"\echo 'it''s; here' \"and; there\"".replace('\\"', '"'),
        r"\qecho done;",
        r"\warn don\'t".replace("\\'", ""),
        r"\timing on",
        r"\x",
        r"\t\a",
        r"\f '|'",
        r"\H",
        r"\conninfo",
        r"\p",
        r"\d+ public.orders",
        r"\dt",
        r"\encoding UTF8",
        r"\encoding 'utf-8'",
        r"\set ON_ERROR_STOP on",
        r"\set ON_ERROR_STOP 1",
        r"\set ON_ERROR_STOP",
        r"\set AUTOCOMMIT on",
        r"\set QUIET on",
        r"\set VERBOSITY verbose",
        r"\unset ECHO",
        r"\set",
    ],
)
def test_a_command_that_only_changes_what_is_shown_is_passed_over(command: str) -> None:
    assert texts(f"SELECT 1;\n{command}\nSELECT 2;") == ["SELECT 1;", "SELECT 2;"]


@pytest.mark.parametrize(
    "command, name, remedy",
    [
        (r"\connect shop", "connect", "one database"),
        (r"\c - admin", "c", "one database"),
        (r"\! rm -rf x", "!", "run:"),
        (r"\copy t FROM 'x.csv'", "copy", "COPY"),
        (r"\i other.sql", "i", "migrations ="),
        (r"\ir other.sql", "ir", "migrations ="),
        (r"\gexec", "gexec", "DO block"),
        (r"\g", "g", ";"),
        (r"\o out.txt", "o", "delete"),
        (r"\if :x", "if", "DO block"),
        (r"\set name value", "set", "DO block"),
        (r"\set ON_ERROR_STOP off", "set", "psql itself"),
        (r"\unset ON_ERROR_STOP", "unset", "psql itself"),
        (r"\set AUTOCOMMIT off", "set", "psql itself"),
        (r"\encoding LATIN1", "encoding", "UTF-8"),
        (r"\; SELECT 2", ";", ";"),
        (r"\q", "q", "delete"),
        (r"\.", ".", "COPY"),
        (r"\password", "password", "psql itself"),
        (r"\nonsense", "nonsense", "psql itself"),
        (r"\lo_import x", "lo_import", "psql itself"),
        ("\\", "", "psql itself"),
    ],
)
def test_every_other_command_is_refused_with_its_line_and_a_way_out(
    command: str, name: str, remedy: str
) -> None:
    with pytest.raises(MetaCommandRefused) as caught:
        texts(f"SELECT 1;\n\n  {command}\nSELECT 2;")
    assert caught.value.data["command"] == name
    assert caught.value.on == "some.sql:3"
    assert remedy in " ".join(caught.value.todo)


def test_a_command_in_the_middle_of_a_statement_is_taken_out_of_it() -> None:
    assert texts("SELECT 1 \\echo half way\n, 2 \\x \\\\ , 3;") == ["SELECT 1 \n, 2  , 3;"]


def test_two_backslashes_end_a_command_and_give_the_line_back_to_sql() -> None:
    assert texts(r"\x on \\ SELECT 1; \echo a \\ SELECT 2;") == ["SELECT 1;", "SELECT 2;"]


@pytest.mark.parametrize(
    "quoted", [r"'\c x'", r'"\c x"', r"$$ \c x $$", r"E'\\c'", "/* \\c x */ 1", "1 -- \\c x\n"]
)
def test_a_backslash_in_quotes_or_comments_is_no_command(quoted: str) -> None:
    assert texts(f"SELECT {quoted};") == [f"SELECT {quoted};"]


def test_no_statement_after_a_refused_command_is_yielded() -> None:
    script = read_script(io.BytesIO(b"SELECT 1;\n\\c x\nDROP TABLE t;"), "some.sql")
    assert next(script).text == "SELECT 1;"
    with pytest.raises(MetaCommandRefused):
        next(script)
    assert list(script) == []
