"""Files of rows: CSV as COPY reads it, JSON, SQL."""

import pytest

from freshpg.data import TestData
from freshpg.errors import DataInvalid, MigrationUnreadable


@pytest.fixture
def write(tmp_path, data):
    def write_it(name, text):
        (tmp_path / name).write_text(text, newline="")
        return tmp_path / name

    return write_it


def test_csv_goes_into_the_table_called_like_it(data, write):
    rows = data.load(write("node.csv", "id,parent_id\n1,\n2,1\n"))

    assert rows == [{"id": 1, "parent_id": None}, {"id": 2, "parent_id": 1}]


def test_csv_is_read_as_copy_reads_it(data, write, database, fetch):
    text = (
        "\ufefftext,at\r\n"
        '"a ""quoted"", word",2024-01-01\r\n'
        '"two\nlines",2024-01-01\n'
        '"",2024-01-01\n'
        ",2024-01-01\n"
    )
    data.load(write("rows.csv", text), table="log")
    ours = fetch("SELECT text FROM log")
    data.clear()
    statement = "COPY log (text, at) FROM STDIN (FORMAT csv, HEADER)"
    with database.connect() as connection, connection.cursor().copy(statement) as copy:
        copy.write(text.removeprefix("\ufeff").replace("\r\n", "\n"))

    assert ours == fetch("SELECT text FROM log")
    assert ours == [('a "quoted", word',), ("two\nlines",), ("",), (None,)]


def test_cells_are_in_the_form_postgresql_reads(data, write):
    (row,) = data.load(write("value.csv", 'id,jb,ints,r\n1,"{""a"": 1}","{1,2}","[1,5)"\n'))

    assert (row["jb"], row["ints"], row["r"].upper) == ({"a": 1}, [1, 2], 5)


def test_json_holds_rows_of_one_table_or_of_several(data, write):
    data.load(write("one.json", '[{"id": 1}]'), table="node")
    data.load(write("all.json", '{"tenant": [{"id": 1, "name": "a"}], "node": [{"id": 2}]}'))

    data.assert_rows("node", [{"id": 1}, {"id": 2}])
    data.assert_count("tenant", 1)


def test_sql_is_carried_out_with_its_copy_data(data, write):
    data.load(
        write(
            "rows.sql", "INSERT INTO node VALUES (1);\nCOPY node FROM stdin;\n2\t1\n\\.\n-- end\n"
        )
    )

    data.assert_rows("node", [{"id": 1, "parent_id": None}, {"id": 2, "parent_id": 1}])


def test_a_file_that_fails_leaves_nothing_and_names_its_line(data, write):
    path = write("rows.sql", "INSERT INTO node VALUES (1);\n\nINSERT INTO node VALUES (1);\n")
    with pytest.raises(data._channel.connection.IntegrityError) as caught:
        data.load(path)

    assert "freshpg: in rows.sql, line 3" in caught.value.__notes__
    data.assert_count("node", 0)


def test_parents_may_be_made_for_a_file_too(data, write):
    data.load(write("cart.csv", "note\na\nb\n"), with_parents=True)

    data.assert_count("customer", 1)


def test_paths_begin_where_the_helper_was_told(database, write, tmp_path):
    write("node.csv", "id\n1\n")
    with TestData(database, root=tmp_path) as data:
        assert len(data.load("node.csv")) == 1


@pytest.mark.parametrize(
    "name, text, seen",
    [
        ("node.csv", "", "it is empty"),
        ("node.csv", "id,parent_id\n1\n", "line 2 has 1 cells, the header 2"),
        ("node.csv", 'id\n"1\n', "line 2: a quote has no end"),
        ("node.csv", 'id\n"1" x\n', "line 2: a quote has no end, or text follows it"),
        ("node.json", "{", "it is not JSON"),
        ("node.json", '{"node": {"id": 1}}', "'node' is no list of objects"),
        ("node.xlsx", "", "its kind is none of"),
        ("node.csv", "id,parnet_id\n1,\n", "perhaps 'parent_id' was meant"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data, write, name, text, seen):
    with pytest.raises(DataInvalid, match=seen):
        data.load(write(name, text))


def test_a_missing_file_names_the_nearest(data, write, tmp_path):
    write("nodes.csv", "id\n")
    with pytest.raises(DataInvalid, match=r"nodes\.csv"):
        data.load(tmp_path / "node.csv")


def test_a_script_cut_off_in_the_middle_is_refused(data, write):
    with pytest.raises(MigrationUnreadable):
        data.load(write("rows.sql", "INSERT INTO node VALUES (1);\nSELECT 'open"))
    data.assert_count("node", 0)
