"""Real PostgreSQL installations and clusters for the tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from servers.postmasters import running

from freshpg.core.clock import Deadline
from freshpg.servers import runas
from freshpg.servers.cluster import ClusterOptions, ensure_base_image
from freshpg.servers.images import ImageStore
from freshpg.servers.providers.embedded import EmbeddedProvider
from freshpg.servers.providers.system import SystemProvider

PROVIDERS = {"embedded": EmbeddedProvider, "system": SystemProvider}


def make_ground() -> Path:
    """Make a directory that the user who runs PostgreSQL can pass, in memory where there is some."""
    memory = Path("/dev/shm")
    ground = Path(tempfile.mkdtemp(prefix="freshpg-test-", dir=memory if memory.is_dir() else None))
    ground.chmod(0o711)
    return ground


@pytest.fixture
def ground():
    place = make_ground()
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def common_ground():
    place = make_ground()
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def run_as():
    return runas.choose({})


@pytest.fixture(scope="session", params=PROVIDERS)
def binaries(request, common_ground, run_as):
    """Each PostgreSQL at hand."""
    finding = PROVIDERS[request.param](common_ground / "cache").find(None)
    if finding.taken is None:
        pytest.skip(f"{request.param}: {finding.why}")
    return finding.taken.for_user(run_as, common_ground / "copies")


@pytest.fixture(scope="session")
def store(common_ground):
    return ImageStore(common_ground / "cache")


@pytest.fixture(scope="session")
def base_image(binaries, store, common_ground, run_as):
    return ensure_base_image(
        store, binaries, ClusterOptions(), common_ground / "new", run_as, deadline=Deadline(60.0)
    )


@pytest.fixture(scope="session")
def server(binaries, base_image, store, common_ground, run_as):
    """Address, as admin, of a running server started from the base image."""
    data = common_ground / f"data-{binaries.version.major}"
    store.copy_to(base_image, data, run_as)
    with running(binaries, data, run_as) as conninfo:
        yield conninfo
    shutil.rmtree(data)
