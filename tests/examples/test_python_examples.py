"""Every Python example does what its README promises."""

import pytest

pytestmark = pytest.mark.timeout(200)


@pytest.mark.parametrize(
    "name, options, passed",
    [
        # pytest-asyncio is installed beside us, and warns projects that do not know it.
        ("plain_psycopg", ["-p", "no:asyncio"], 5),
        ("with_asyncpg", [], 4),
        ("with_sqlalchemy", [], 11),
        pytest.param("event_store", ["-p", "no:asyncio"], 11, marks=pytest.mark.slow),
        ("tenants_fastapi", [], 7),
        pytest.param("tenants_django", ["-p", "no:asyncio"], 5, marks=pytest.mark.slow),
        # pytest-django is kept from the others; the last word counts.
        ("django_minimal", ["-p", "no:asyncio", "-p", "django"], 6),
    ],
)
def test_the_small_example_passes(example, run_pytest, name, options, passed):
    outcome = run_pytest(example(name), *options)

    assert outcome.exit_code == 0, outcome.output
    assert outcome.counts == {"passed": passed}


def test_the_test_cases_of_django_pass(example, run):
    outcome = run(example("django_minimal"), "python", "manage.py", "test")

    assert outcome.exit_code == 0, outcome.output
    assert "Ran 3 tests" in outcome.output


def test_the_shop_passes_under_two_workers(example, run_pytest):
    outcome = run_pytest(example("shop"), "-n", "2")

    assert outcome.exit_code == 0, outcome.output
    assert set(outcome.counts) == {"passed"}
    assert outcome.counts["passed"] >= 120


def test_the_shop_can_be_tested_the_plain_way_on_a_server_of_somebody_else(
    example, run, start_of_pytest
):
    lent_server = ("freshpg", "run", "--superuser", "--set", "SHOP_ADMIN_URL={url}", "--")

    outcome = run(
        example("shop"),
        *lent_server,
        *start_of_pytest,
        "-p",
        "no:freshpg",
        "tests/test_carts.py",
        "tests/test_reference_data.py",
        SHOP_TEST_MODE="plain",
    )

    assert outcome.exit_code == 0, outcome.output
    assert outcome.counts == {"passed": 12, "deselected": 5}
