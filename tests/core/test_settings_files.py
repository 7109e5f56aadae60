"""Which file is read, on which line each value stands, and what is said of a file that cannot be used."""

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshpg.core.errors import SettingsInvalid
from freshpg.core.settings import load_settings
from freshpg.core.settings.lines import key_lines


def load(root, **environment):
    return load_settings(root, environment=environment)


def write(root, text, name="pyproject.toml"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root


def test_pyproject_and_freshpg_toml_say_the_same(tmp_path):
    shared = load(write(tmp_path / "a", '[tool.freshpg]\nisolation = "clone"\n'))
    own = load(write(tmp_path / "b", 'isolation = "clone"\n', "freshpg.toml"))
    assert shared.isolation == own.isolation == "clone"
    assert str(shared.origin("isolation")) == "pyproject.toml:2"
    assert str(own.origin("isolation")) == "freshpg.toml:1"


def test_a_configured_ancestor_wins_over_a_nearer_plain_pyproject(tmp_path):
    write(tmp_path, "[tool.freshpg]\nkeep = 1\n")
    member = write(tmp_path / "packages" / "shop", '[project]\nname = "shop"\n')
    settings = load(member / "missing" / "file.py")
    assert settings.root == tmp_path
    assert settings.keep == 1


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git"])
def test_without_configuration_the_nearest_project_mark_is_the_root(tmp_path, mark):
    (tmp_path / mark).touch()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    settings = load(inner)
    assert settings.root == tmp_path
    assert str(settings.origin("root")) == "found upwards from the start"


def test_a_pyproject_that_only_mentions_freshpg_does_not_configure_it(tmp_path):
    write(tmp_path, "[tool.freshpg]\nkeep = 1\n")
    inner = write(tmp_path / "inner", '[project]\ndependencies = ["freshpg"]\n')
    assert load(inner).root == tmp_path


def test_two_files_with_settings_side_by_side_are_refused_by_name(tmp_path):
    write(tmp_path, "[tool.freshpg]\nkeep = 1\n")
    write(tmp_path, "keep = 2\n", "freshpg.toml")
    with pytest.raises(SettingsInvalid, match="side by side") as caught:
        load(tmp_path)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)
    assert str(tmp_path / "freshpg.toml") in str(caught.value)


def test_an_empty_freshpg_toml_beside_settings_in_pyproject_is_no_contradiction(tmp_path):
    write(tmp_path, "[tool.freshpg]\nkeep = 1\n")
    write(tmp_path, "", "freshpg.toml")
    assert load(tmp_path).keep == 1


def test_an_empty_file_means_all_defaults(tmp_path):
    write(tmp_path, "", "freshpg.toml")
    settings = load(tmp_path)
    assert settings.root == tmp_path
    assert settings.isolation == "reset"


@pytest.mark.parametrize(
    "content, said",
    [
        (b"\xef\xbb\xbfkeep = 1\n", "byte order mark"),
        ("keep = 1\n".encode("utf-16"), "UTF-16"),
        ("keep = 1 # freshpg\n".encode("utf-16-le"), "NUL byte on line 1"),
        (b"keep = 1\nlocale = 'a\0b'\n", "NUL byte on line 2"),
        (b"keep = 1\n\n# caf\xe9\n", "not UTF-8 on line 3"),
        (b"keep = 1\nkeep = 2\n", "not valid TOML"),
        (b"keep = \n", "line 1"),
        (b'keep = "unfinished', "not valid TOML"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, "nested too deep"),
    ],
)
@pytest.mark.parametrize("name", ["freshpg.toml", "pyproject.toml"])
def test_a_file_that_is_no_toml_text_is_refused_with_its_place(tmp_path, content, said, name):
    if name == "pyproject.toml" and b"freshpg" not in content.replace(b"\0", b""):
        content += (
            "\n# freshpg".encode("utf-16-le") if content[:2] == b"\xff\xfe" else b" # freshpg"
        )
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsInvalid) as caught:
        load(tmp_path)
    assert said in str(caught.value)
    assert str(tmp_path / name) in caught.value.on
    assert caught.value.path == tmp_path / name


def test_invalid_toml_names_the_line(tmp_path):
    write(tmp_path, "[tool.freshpg]\nkeep = 1\nisolation = clone\n")
    with pytest.raises(SettingsInvalid) as caught:
        load(tmp_path)
    assert caught.value.on == f"{tmp_path / 'pyproject.toml'}:3"
    assert caught.value.line == 3


def make_directory(path):
    path.mkdir()


def make_fifo(path):
    os.mkfifo(path)


def make_loop(path):
    path.symlink_to(path.name)


def make_dangling_link(path):
    path.symlink_to("nowhere")


def make_huge(path):
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)


def make_endless_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["freshpg.toml", "pyproject.toml"])
@pytest.mark.parametrize(
    "make",
    [make_directory, make_fifo, make_loop, make_dangling_link, make_huge, make_endless_device],
)
def test_what_is_not_a_small_regular_file_is_refused_without_reading_it(tmp_path, make, name):
    make(tmp_path / name)
    with pytest.raises(SettingsInvalid) as caught:
        load(tmp_path)
    assert caught.value.on == str(tmp_path / name)
    assert caught.value.seen


def test_an_unreadable_file_is_refused_with_the_system_s_reason(readable_directory, as_nobody):
    path = readable_directory / "freshpg.toml"
    path.write_text("keep = 1\n")
    path.chmod(0)
    with as_nobody(), pytest.raises(SettingsInvalid, match="Permission denied"):
        load(readable_directory)
    assert stat.S_IMODE(path.stat().st_mode) == 0


def test_an_unusable_pyproject_further_up_is_none_of_our_business(tmp_path):
    make_fifo(tmp_path / "pyproject.toml")
    inner = write(tmp_path / "inner", '[project]\nname = "shop"\n')
    assert load(inner).root == inner


def test_a_broken_pyproject_that_never_speaks_of_us_is_left_to_others(tmp_path):
    write(tmp_path, "[project\n")
    assert load(tmp_path).isolation == "reset"


def test_tool_freshpg_that_is_no_table_is_refused(tmp_path):
    write(tmp_path, '[tool]\nfreshpg = "auto"\n')
    with pytest.raises(SettingsInvalid, match=r"pyproject.toml:2"):
        load(tmp_path)


def test_a_tool_table_in_our_own_file_is_explained(tmp_path):
    write(tmp_path, "[tool.freshpg]\nkeep = 1\n", "freshpg.toml")
    with pytest.raises(SettingsInvalid, match="keys stand at the top"):
        load(tmp_path)


SHAPES = '''\
# comment with [brackets] and "quotes"
[tool.freshpg]
server = "auto" # = not a key
linger.odd = 1
"quoted key" = 'a # b'
settings = { work_mem = "64MB", "app.tenant" = "x", deep = { a = 1 } }
list = [
  "one", # comment, ]
  """two
lines ]""",
  { k = 1 },

  [1, 2],
]
when = 1979-05-27 07:32:00
after = 1

[tool.freshpg.databases.main]
name = "x"
[tool . freshpg . "databases" . 'other one']
migrations = ["""a\\""" """, \'\'\'b'\'\'\']
"esc\\u0061ped" = 1
[[tool.other]]
x = 1
'''


@pytest.mark.parametrize(
    "path, line",
    [
        ("tool", 2),
        ("tool.freshpg", 2),
        ("tool.freshpg.server", 3),
        ("tool.freshpg.linger", 4),
        ("tool.freshpg.linger.odd", 4),
        ("tool.freshpg.quoted key", 5),
        ("tool.freshpg.settings.work_mem", 6),
        ("tool.freshpg.settings.deep.a", 6),
        ("tool.freshpg.list", 7),
        ("tool.freshpg.list.0", 8),
        ("tool.freshpg.list.1", 9),
        ("tool.freshpg.list.2.k", 11),
        ("tool.freshpg.list.3.1", 13),
        ("tool.freshpg.when", 15),
        ("tool.freshpg.after", 16),
        ("tool.freshpg.databases", 18),
        ("tool.freshpg.databases.main.name", 19),
        ("tool.freshpg.databases.other one", 20),
        ("tool.freshpg.databases.other one.migrations.1", 21),
        ("tool.freshpg.databases.other one.escaped", 22),
        ("tool.other.x", 24),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_shape_of_a_key_has_its_line(path, line, newline):
    text = SHAPES.replace("\n", newline)
    tomllib.loads(text)
    assert key_lines(text)[tuple(path.split("."))] == line


def test_a_quoted_dot_is_part_of_the_key():
    assert key_lines('\n"a.b".c = 1')["a.b", "c"] == 2


KEYS = st.text("abc-_é.\"\\' #=[]{}\t", min_size=1, max_size=6)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text("ab\"'\\#[]{},=\n\t é", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def as_toml(value, quote):
    if isinstance(value, int):
        return str(value).lower()
    if isinstance(value, str):
        if quote == "'" and not set(value) & set("'\n\t"):
            return f"'{value}'"
        if quote == '"""':
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"""{escaped}"""'
        return quoted(value)
    if isinstance(value, list):
        return "[\n" + ", # ] }\n".join(as_toml(item, quote) for item in value) + "\n]"
    pairs = (f"{quoted(key)} = {as_toml(item, quote)}" for key, item in value.items())
    return "{ " + ", ".join(pairs) + " }"


def quoted(text):
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from(['"', "'", '"""']))
def test_keys_after_any_value_are_found_on_their_line(table, quote):
    lines, expected = [], {}
    for key, value in table.items():
        expected[key,] = "\n".join(lines).count("\n") + 1 + bool(lines)
        lines.append(f"{quoted(key)} = {as_toml(value, quote)}")
    text = "\n".join(lines)
    assert list(tomllib.loads(text)) == list(table)
    found = key_lines(text)
    assert {key: line for key, line in found.items() if len(key) == 1} == expected


def test_settings_found_by_from_project_have_the_environment(tmp_path, monkeypatch):
    from freshpg.core.settings import Settings

    monkeypatch.setenv("FRESHPG_ISOLATION", "readonly")
    write(tmp_path, "[tool.freshpg]\nkeep = 1\n")
    settings = Settings.from_project(Path(tmp_path))
    assert (settings.keep, settings.isolation) == (1, "readonly")
