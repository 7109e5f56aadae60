"""Servers in containers: the room is kept, the provider comes later."""

from __future__ import annotations

from freshpg.core.errors import NotYetAvailable


class ContainerProvider:
    """Will start servers with docker or podman."""

    name = "container"

    @staticmethod
    def refusal() -> NotYetAvailable:
        """Return the error that says so and what works today."""
        return NotYetAvailable(
            "a server in a container was asked for",
            on='server = "container"',
            seen="this version starts no containers",
            todo=(
                "leave server = \"auto\" and pip install 'freshpg[server]'",
                'start the container yourself and give its address: server = "postgresql://user@host:5432/postgres"',
            ),
        )
