"""What holds for every script, tried on scripts nobody would write."""

import io
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from freshpg.core.errors import TemplateError
from freshpg.templates.migrations.sqlscript import CopyIn, read_script

# No deadline: a loaded machine is no bug. No database: nothing is written beside the project.
settings.register_profile("calm", deadline=None, database=None)
calm = settings.get_profile("calm")

INNER = st.text(alphabet="ab;'\"$\\/*-()\n E&é:", max_size=12)


def quoted(start: str, end: str, escape) -> st.SearchStrategy[str]:
    return INNER.map(lambda text: start + escape(text) + end)


def escape_string(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


QUOTED = st.one_of(
    quoted("'", "'", lambda text: text.replace("'", "''")),
    quoted("E'", "'", escape_string),
    quoted('"', '"', lambda text: text.replace('"', '""')),
    quoted("$$", "$$", lambda text: text.replace("$", "")),
    quoted("$a$", "$a$", lambda text: re.sub(r"\$a(?=\$|$)|\$$", "", text).replace("$a$", "")),
    quoted("/*", "*/", lambda text: re.sub(r"[*/]", "", text)),
    quoted("--", "\n", lambda text: text.replace("\n", "")),
)
WORDS = st.sampled_from(
    [
        "select",
        "e",
        "u",
        "x1",
        "from",
        "stdin",
        "begin",
        "case",
        "end",
        "1",
        ",",
        "$1",
        "::",
        "-",
        "/",
    ]
)
STATEMENT = st.lists(st.one_of(QUOTED, WORDS), max_size=8).map(
    lambda parts: f"do {' , '.join(parts)} ;"
)
STATEMENTS = st.lists(STATEMENT, max_size=6)
BLANK = st.sampled_from(["", " ", "\n", "\n\n", " -- ; remark'\n", "/* ; ' */", "\r\n"])
ANYTHING = st.text(alphabet="ab;'\"$\\/*-()\n\rE&é .:u", max_size=60)


def pieces(script: str) -> list[tuple[str, int]]:
    return [
        (piece.text, piece.line) for piece in read_script(io.BytesIO(script.encode()), "some.sql")
    ]


@calm
@given(STATEMENTS, BLANK)
def test_splitting_undoes_joining_whatever_stands_in_quotes(
    statements: list[str], blank: str
) -> None:
    assert [text for text, _ in pieces(blank.join(["", *statements, ""]))] == statements


@calm
@given(ANYTHING)
def test_nothing_but_blanks_and_comments_is_lost(script: str) -> None:
    try:
        found = pieces(script)
    except TemplateError:
        return
    if "\\" in re.sub(r"'[^']*'", "", script):
        return
    rest = script
    for text, _ in found:
        before, piece, rest = rest.partition(text)
        assert piece
        assert_blank(before)
    assert_blank(rest)


def assert_blank(text: str) -> None:
    without = re.sub(r"--[^\n\r]*", "", text)
    while "/*" in without:
        shorter = re.sub(r"/\*(?:(?!/\*|\*/).)*\*/", "", without, flags=re.DOTALL)
        assert shorter != without, text
        without = shorter
    assert not without.strip(" ;\t\n\r\f\v"), text


@calm
@given(STATEMENTS)
def test_each_piece_starts_in_the_line_it_names(statements: list[str]) -> None:
    script = "\n".join(statements)
    lines = script.split("\n")
    for text, line in pieces(script):
        assert "\n".join(lines[line - 1 :]).find(text) >= 0
        assert lines[line - 1].find(text.split("\n")[0]) >= 0


@calm
@given(st.lists(st.text(alphabet="ab\\.;'\t\n", max_size=20), max_size=4))
def test_copy_data_arrive_byte_for_byte(tables: list[str]) -> None:
    data = [re.sub(r"(?m)^\\\.$", "", f"{text}\n") for text in tables]
    script = "".join(f"COPY t FROM stdin;\n{rows}\\.\n" for rows in data)
    found = [
        b"".join(piece.data).decode()
        for piece in read_script(io.BytesIO(script.encode()), "some.sql")
        if isinstance(piece, CopyIn)
    ]
    assert found == data
