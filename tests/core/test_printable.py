import json
import sys
import unicodedata

import pytest

from freshpg.core.printable import plain, plain_json, plain_line

NASTY = [
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\x07", "\b", "\x00", "\x7f", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\u202e",
    "\u2066", "\u200b", "\u200f", "\u061c", "\ufeff", "\u2060", "\xad", "\ud800", "\U000e0041",
]  # fmt: skip


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_what_is_not_seen_as_itself_is_spelled_out(nasty):
    shown = plain(f"a{nasty}b")
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


@pytest.mark.parametrize("text", ["", "plain", "caf\xe9 \u4f60\u597d \U0001f600", "two\nlines\tand a tab", "a::b", "#[1] ## x"])  # fmt: skip
def test_what_people_write_stays(text):
    assert plain(text) == text


def test_no_character_that_unicode_calls_control_or_format_is_let_through():
    # Arabic number signs and the like are seen; joiners are not.
    seen = {"\n", "\t"}
    every = (chr(code) for code in range(sys.maxunicode + 1))
    hidden = {one for one in every if unicodedata.category(one) in {"Cc", "Zl", "Zp", "Cs"}}
    assert {one for one in hidden - seen if plain(one) == one} == set()


@pytest.mark.parametrize(
    "line",
    ["::error::x", "  ::add-mask::x", "\t::stop-commands::x", "##[error]x", "a ##[group]b", "##vso[task.setvariable]x", "ok\n::warning::y",
     "a\r::error::x"],
)  # fmt: skip
def test_no_line_is_a_command_to_a_ci_service(line):
    for one in plain(line).splitlines():
        assert not one.strip().startswith(("::", "##vso["))
        assert "##[" not in one


def test_a_line_stays_one():
    assert plain_line("a\nb\tc\x1b") == "a\\nb c\\x1b"


@pytest.mark.parametrize("nasty", NASTY, ids=ascii)
def test_json_means_the_same(nasty):
    data = {f"k{nasty}": f"v{nasty}##[error]"}
    shown = plain_json(json.dumps(data, ensure_ascii=False, indent=2))
    assert "##[" not in shown
    assert json.loads(shown) == data
    assert all(line.isprintable() for line in shown.splitlines())
