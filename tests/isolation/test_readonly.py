import threading
from dataclasses import replace

import pytest

from freshpg.core.errors import DatabaseBusy
from freshpg.isolation.readonly import ReadonlyIsolation
from freshpg.leases.lease import LeaseConnection


@pytest.fixture
def process(server, connect, source, lease, databases):
    """Stand in for one process after another; each has its own leases."""
    opened = []

    def one(**changes):
        connection = LeaseConnection.open(server)
        opened.append(connection)
        return ReadonlyIsolation(connect, replace(source, **changes), connection)

    made = []
    yield lambda **changes: made.append(one(**changes)) or made[-1]
    for isolation in made:
        isolation.close()
    for connection in opened:
        connection.close()


def test_processes_at_once_make_one_database_and_share_it(process, databases):
    isolations = [process() for _ in range(4)]
    names = []
    threads = [
        threading.Thread(target=lambda one=one: names.append(one.enter())) for one in isolations
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert names == ["shop_test_readonly"] * 4
    assert databases.find("shop_test_readonly").mark.kind == "readonly"


def test_the_next_run_finds_it_again(process, databases):
    first = process()
    first.enter()
    oid = databases.find("shop_test_readonly").oid
    first.close()
    process().enter()
    assert databases.find("shop_test_readonly").oid == oid


def test_one_of_another_template_is_replaced_when_its_last_user_is_gone(process, databases):
    old = process()
    old.enter()
    new = process(fingerprint="f2")
    with pytest.raises(DatabaseBusy) as caught:
        new.enter(deadline=0)
    assert len(caught.value.holders) == 1
    old.close()
    new.enter()
    assert databases.find("shop_test_readonly").mark.fingerprint == "f2"


def test_a_half_made_one_is_made_again(process, databases, source):
    databases.create(
        "shop_test_readonly",
        source.mark("scratch", databases.clock),
        owner="postgres",
        template="template0",
    )
    process().enter()
    assert databases.find("shop_test_readonly").mark.kind == "readonly"
