"""Places, caches and a nursery for whatever is to be killed."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from chaos.ground import Ground, Nursery, make_base, settled
from postgres_server import running_server


@pytest.fixture(scope="session")
def base():
    made = make_base()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def nursery(base):
    made = Nursery(base / "orders")
    yield made
    made.close()


@pytest.fixture(scope="session")
def caches(base, nursery):
    """Caches from nothing to the whole image of the project."""
    first = Ground(base, "first")
    outcome = nursery.run(first, "use")
    assert outcome.get("told") == {"how": "initdb"}, outcome
    assert not settled(first.left, 10)
    bare = base / "bare"
    shutil.copytree(first.cache, bare)
    for manifest in bare.glob("images/*/image.json"):
        if '"shop_test' in manifest.read_text() or '"main"' in manifest.read_text():
            shutil.rmtree(manifest.parent)
    assert len(list(bare.glob("images/*/image.json"))) == 1
    empty = base / "empty"
    empty.mkdir()
    return {"empty": empty, "bare": bare, "full": first.cache}


@pytest.fixture(scope="session")
def foreign_url(nursery):
    with running_server() as conninfo:
        yield conninfo.url()


@pytest.fixture
def make_ground(base, caches):
    made = []

    def make(cache="full"):
        ground = Ground(base, f"g{next(_NUMBERS)}", cache=caches[cache])
        made.append(ground)
        return ground

    yield make
    for ground in made:
        ground.end()


_NUMBERS = itertools.count()
SOURCE = Path(__file__).parents[2] / "src" / "freshpg"
