"""The application on both stores: every test that asks for ``loans`` runs twice."""

import pytest
from library.loans import Loans

from freshpg.drivers.eventsourcing import in_memory, wired


@pytest.fixture(params=["memory", "postgres"])
def loans(request):
    if request.param == "memory":
        # No server is started for these.
        with in_memory(Loans) as application:
            yield application
    else:
        databases = request.getfixturevalue("pg_databases")
        with wired(Loans, databases["eventstore"]) as application:
            yield application
