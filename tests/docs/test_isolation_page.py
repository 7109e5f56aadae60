"""What the page on isolation says of the audit's limits is what the catalogue of changes says, and what happens."""

import re

import pytest
from documentation import DOCS
from isolation.changes import CHANGES
from isolation.test_changes import own

PAGE = (DOCS / "explanation/isolation.md").read_text(encoding="utf-8")
OF_THE_SERVER = [change for change in CHANGES if change.undo]


def table(name):
    """Return the rows of the table that a comment marks, without its head."""
    found = re.search(rf"<!-- the catalogue: {name} -->\n((?:\|.*\n)+)", PAGE)
    assert found
    rows = [line.strip("|").split("|") for line in found[1].splitlines()[2:]]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_the_page_lists_exactly_what_the_quick_audit_cannot_see():
    assert table("session").keys() == {change.name for change in CHANGES if change.unseen}


def test_each_of_them_has_a_reason_and_a_remedy():
    assert all(reason and remedy for reason, remedy in table("session").values())


def test_the_page_lists_exactly_what_outlives_the_database():
    assert table("server").keys() == {change.name for change in OF_THE_SERVER}


@pytest.mark.slow
@pytest.mark.parametrize("change", OF_THE_SERVER, ids=lambda change: change.name)
def test_what_a_superuser_does_to_the_server_comes_to_what_the_page_says(change, tmp_path):
    sees, does = table("server")[change.name]
    with own(tmp_path, "superuser") as world, world.manager.lease() as database:
        before = world.state(database.name)
        hands = world.hands(database)
        try:
            world.carry_out(change, hands)
            assert bool(database.audit()) == (sees == "yes")
            assert database.reset().replaced == does.startswith("replaces")
            assert bool(before.diff(world.state(database.name))) == ("stays" in does)
        finally:
            hands.let_go()
