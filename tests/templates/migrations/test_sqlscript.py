import io
import textwrap

import pytest

from freshpg.core.errors import MigrationUnreadable
from freshpg.templates.migrations.sqlscript import CopyIn, Statement, read_script


def pieces(text: str | bytes, *, standard_strings: bool = True) -> list[Statement]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read_script(io.BytesIO(raw), "some.sql", standard_strings=lambda: standard_strings))


def texts(text: str | bytes, *, standard_strings: bool = True) -> list[str]:
    return [piece.text for piece in pieces(text, standard_strings=standard_strings)]


def refused(text: str | bytes) -> MigrationUnreadable:
    with pytest.raises(MigrationUnreadable) as caught:
        pieces(text)
    return caught.value


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a;b';",
        "SELECT 'it''s; fine';",
        r"SELECT 'ends with a backslash\';",
        r"SELECT E'it\'s; fine', e'\\';",
        "SELECT E'a;'\n  'still; \\' escaped';",
        "SELECT E'a;' -- remark '\n  'still; \\' escaped';",
        "SELECT E'a' || 'no escapes\\';",
        "SELECT E'a' 'no escapes on the same line\\';",
        r"SELECT e'it\'s; fine';",
        "SELECT E'a', --\n'no escapes\\';",
        r"SELECT U&'d\0061t;\+000061', U&" + '"d;\\0061";',
        "SELECT B'1', X'F', N';';",
        'SELECT 1 AS "a;""b;";',
        "SELECT $$a;b$$, $x$ ; $$ ; $y$ ; $x$;",
        "SELECT $x$ $a$x$;",
        "SELECT $été$ ; $été$;",
        "SELECT a$b$ FROM c$b$;",
        "SELECT $1 + $2;",
        "SELECT 1 /* ; /* nested ; */ still ; */ + 1;",
        "SELECT 1 -- ; ' \" $$\n + 1;",
        "SELECT 1 --1;\n;",
        "SELECT 1 - -1 / 2 * 3;",
        "SELECT 4 %/* ; */ 3;",
        "SELECT a::text, b[1:2], :name, :'name' FROM t;",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b);",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1;';",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;",
        "create or replace function f() returns int begin atomic select case when true then 1 else 2 end; end;",
        'CREATE PROCEDURE p() BEGIN ATOMIC\n SELECT (CASE WHEN a THEN 1 END) AS end, x.end, 1 AS "end"; END;',
        "CREATE OR REPLACE PROCEDURE p() BEGIN /* ; */ ATOMIC INSERT INTO t VALUES (1); END;",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN CASE 2 WHEN 3 THEN 4 END THEN 5 END; END;",
        "CREATE TABLE function (begin int, atomic int);",
        "COPY (SELECT 1) TO stdout;",
        "COPY (SELECT a FROM stdin) TO stdout;",
        "COPY t FROM '/tmp/stdin';",
        "COPY t(\"from stdin\") FROM 'x';",
        "BEGIN;",
        "END;",
        "SELECT 'é', 'Ω;', \"ñ;\" FROM ünïcode;",
        "SELECT a\u00a0b;",
    ],
)
def test_a_statement_ends_at_its_own_semicolon_only(statement: str) -> None:
    assert texts(f"{statement}\nSELECT 'next';") == [statement, "SELECT 'next';"]


def test_statements_share_a_line_and_need_no_blank_between() -> None:
    assert texts("SELECT 1;SELECT 2;;; SELECT 3") == ["SELECT 1;", "SELECT 2;", "SELECT 3"]


def test_the_last_statement_needs_no_semicolon() -> None:
    assert texts("SELECT 1;\nSELECT 2 -- no end\n\n") == ["SELECT 1;", "SELECT 2 -- no end"]


@pytest.mark.parametrize(
    "text", ["", "\n\n", ";", " ; ;\n", "-- remark", "/* remark\n /* */ */", "\ufeff", "\ufeff\n;"]
)
def test_a_script_without_statements_has_no_pieces(text: str) -> None:
    assert pieces(text) == []


def test_a_statement_knows_the_line_of_its_first_word() -> None:
    script = """\
        -- head
        SELECT 1; /* two
        lines */ SELECT
          2;

        SELECT $$
        $$; SELECT 3
        """
    found = pieces(textwrap.dedent(script))
    assert [(piece.text.split()[1], piece.line) for piece in found] == [
        ("1;", 2),
        ("2;", 3),
        ("$$", 6),
        ("3", 7),
    ]


def test_backslashes_escape_in_plain_strings_once_the_script_asked_for_it() -> None:
    script = r"SELECT 'it\'s; one'; SELECT 2;"
    assert texts(script, standard_strings=False) == [r"SELECT 'it\'s; one';", "SELECT 2;"]


def test_the_rule_for_strings_is_asked_again_for_every_statement() -> None:
    standard = [True]
    script = io.BytesIO(b"SELECT 'a\\';\nSELECT 'b\\';';\n")
    found = read_script(script, "some.sql", standard_strings=lambda: standard[0])
    assert next(found).text == "SELECT 'a\\';"
    standard[0] = False
    assert next(found).text == "SELECT 'b\\';';"


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    script = b"\xef\xbb\xbfSELECT 1;\r\nSELECT\r\n2; -- remark\r\n"
    assert [(piece.text, piece.line) for piece in pieces(script)] == [
        ("SELECT 1;", 1),
        ("SELECT\r\n2;", 2),
    ]


def test_copy_data_follow_their_statement_up_to_the_final_dot() -> None:
    script = b"COPY public.t (a, b) FROM stdin;\n1\tit's; \\N\n\\.x\n2\t$$\n\\.\n\nSELECT 1;\n"
    found = []
    for piece in read_script(io.BytesIO(script), "some.sql"):
        data = b"".join(piece.data) if isinstance(piece, CopyIn) else None
        found.append((piece.text, piece.line, data))
    assert found == [
        ("COPY public.t (a, b) FROM stdin;", 1, b"1\tit's; \\N\n\\.x\n2\t$$\n"),
        ("SELECT 1;", 7, None),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "copy t from stdin with (format csv, header);",
        "COPY t\n  FROM /* here */ STDIN\n CSV;",
        'COPY "from".t(a) FROM -- there\n stdin;',
        "COPY t FROM stdout;",
        "COPY t FROM stdin WHERE a > 1;",
    ],
)
def test_every_way_to_write_copy_from_stdin_is_seen(statement: str) -> None:
    (copy, after) = pieces(f"{statement}\na;'\n\\.\nSELECT 1;")
    assert isinstance(copy, CopyIn)
    assert copy.data_line == statement.count("\n") + 2
    assert after.line == statement.count("\n") + 4


def test_copy_data_nobody_read_are_stepped_over() -> None:
    assert texts("COPY t FROM stdin;\n1\n\\.\r\nSELECT 1;") == ["COPY t FROM stdin;", "SELECT 1;"]


def test_what_follows_a_copy_on_its_line_comes_after_its_data() -> None:
    assert [
        (p.text, p.line) for p in pieces("COPY t FROM stdin; SELECT 1;\n7\n\\.\nSELECT 2;")
    ] == [
        ("COPY t FROM stdin;", 1),
        ("SELECT 1;", 1),
        ("SELECT 2;", 4),
    ]


def test_copy_data_come_in_pieces_of_bounded_size() -> None:
    rows = b"".join(b"%d\tsome text\n" % number for number in range(100_000))
    (copy,) = (
        [len(chunk) for chunk in piece.data]
        for piece in read_script(io.BytesIO(b"COPY t FROM stdin;\n" + rows + b"\\.\n"), "some.sql")
        if isinstance(piece, CopyIn)
    )
    assert sum(copy) == len(rows)
    assert max(copy) < 300_000


def test_copy_data_that_were_cut_off_are_refused() -> None:
    error = refused("SELECT 1;\nCOPY t FROM stdin;\n1\n2\n")
    assert error.data["line"] == 3
    assert "cut off" in str(error)


@pytest.mark.parametrize(
    "script, name",
    [
        ("SELECT 'a;\nb;", "string '…'"),
        ("SELECT 'a\n;'';", "string '…'"),
        (r"SELECT E'a\';", "string E'…'"),
        ('SELECT "a;', 'identifier "…"'),
        ("DO $x$ ; $$", "dollar-quoted string"),
        ("/* /* */ SELECT 1;", "comment"),
    ],
)
def test_a_quote_without_end_names_the_line_that_opened_it(script: str, name: str) -> None:
    error = refused(f"SELECT 0;\n\n{script}\n")
    assert error.data["line"] == 3
    assert name in error.seen


@pytest.mark.parametrize(
    "script, line, offset",
    [
        (b"SELECT 1;\nSELECT '\xe9';\n", 2, 18),
        (b"\xef\xbb\xbf-- \xff\n", 1, 6),
        (b"COPY t FROM stdin;\nabc\nd\xe9f\n\\.\n", 3, 24),
        (b"SELECT 1;\r\n\xc3\xa9 \xc3", 2, 14),
    ],
)
def test_a_file_that_is_not_utf8_is_refused_with_line_and_byte(
    script: bytes, line: int, offset: int
) -> None:
    error = refused(script)
    assert (error.data["line"], error.data["offset"]) == (line, offset)
    assert f"some.sql:{line}" in str(error)
    assert script[offset] > 0x7F


@pytest.mark.parametrize("script", [b"SELECT 1;\nSELECT '\0';", b"COPY t FROM stdin;\na\0b\n\\.\n"])
def test_a_nul_is_refused_with_line_and_byte(script: bytes) -> None:
    error = refused(script)
    assert error.data["offset"] == script.index(b"\0")
    assert error.data["line"] == 2


def test_a_utf16_file_is_called_by_its_encoding() -> None:
    error = refused("SELECT 1;".encode("utf-16"))
    assert "UTF-16" in error.seen
    assert "iconv -f UTF-16" in error.todo[0]


def test_unbalanced_parentheses_are_left_for_the_server_to_judge() -> None:
    assert texts("SELECT (1; SELECT 2;\nSELECT 3;") == ["SELECT (1; SELECT 2;\nSELECT 3;"]
    assert texts("SELECT 1); SELECT 2;") == ["SELECT 1);", "SELECT 2;"]
