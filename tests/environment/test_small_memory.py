"""/dev/shm as containers have it: small, missing, closed."""

from __future__ import annotations

import pytest

ELSEWHERE = "mount -t tmpfs -o mode=1777 tmpfs /tmp && mount -t tmpfs -o mode=1777 tmpfs /var/tmp"
KINDS = {
    "64 MB": "mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm",
    "1 MB": "mount -t tmpfs -o size=1m,mode=1777 tmpfs /dev/shm",
    "no programs": "mount -t tmpfs -o noexec,mode=1777 tmpfs /dev/shm",
    "read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    "absent": (
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/shm && mount --bind /dev /mnt/shm && mount -t tmpfs tmpfs /dev\n"
        "for node in null zero random urandom; do touch /dev/$node; mount --bind /mnt/shm/$node /dev/$node; done"
    ),
}


@pytest.mark.parametrize(
    "kind",
    ["64 MB", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "64 MB")],
)
def test_a_server_starts_whatever_the_shared_memory_is_like(disk_ground, kind):
    disk_ground.warm()
    told = disk_ground.visit(
        "told['shm'] = __import__('os').path.isdir('/dev/shm')",
        mounts=f"{KINDS[kind]}\n{ELSEWHERE}",
        FRESHPG_RUNTIME=None,
    )
    assert told.customers == 2
    assert told.sockets.startswith("/dev/shm/" if kind == "no programs" else "/tmp/")
    assert told.shm == (kind != "absent")


@pytest.mark.slow
def test_a_container_makes_its_first_image_with_64_mb(disk_ground):
    told = disk_ground.visit(mounts=f"{KINDS['64 MB']}\n{ELSEWHERE}", FRESHPG_RUNTIME=None)
    assert (told.customers, told.how) == (2, "initdb")
