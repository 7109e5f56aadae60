"""Names for data that must be unique across tests and runs."""

from freshpg.data.unique import UniqueNames


def test_the_same_test_of_the_same_run_gets_the_same_names():
    one, again = UniqueNames("test_a", "run"), UniqueNames("test_a", "run")
    names = [one.next("email"), one.next("email"), one.next("sku")]

    assert names == [again.next("email"), again.next("email"), again.next("sku")]
    assert len(set(names)) == 3
    assert names[0].startswith("email-")


def test_other_tests_and_other_runs_get_other_names():
    places = [("test_a", "run"), ("test_b", "run"), ("test_a", "other"), ("test_a", "")]

    assert len({UniqueNames(test, run).next("email") for test, run in places}) == 4


def test_workers_of_one_run_agree_on_it(monkeypatch):
    from freshpg.data import unique

    unique.run_id.cache_clear()
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "7")
    try:
        assert unique.run_id() == "7"
    finally:
        unique.run_id.cache_clear()


def test_a_helper_has_names_of_its_test(data):
    first = data.unique("email")

    assert first != data.unique("email")
    assert first == UniqueNames(data.database.test).next("email")
