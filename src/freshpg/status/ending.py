"""Ending servers of ours by word of a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import KeeperRefused
from freshpg.status.keepers import running_keepers
from freshpg.status.servers import OwnServer, own_servers

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """What was ended, what is in use and stays, and what could not be removed."""

    stopped: tuple[OwnServer, ...]
    in_use: tuple[OwnServer, ...]
    left: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "stopped": [server.to_json() for server in self.stopped],
            "in_use": [server.to_json() for server in self.in_use],
            "left": list(self.left),
        }


def end_servers(project: Path | None, *, force: bool) -> Ended:
    """End the servers of a project, of all projects with None; those in use only with ``force``."""
    wanted = [
        server
        for server in own_servers(look_inside=False)
        if project is None or server.project == str(project)
    ]
    stopped, in_use, left = [], [], []
    with running_keepers() as keepers:
        for keeper in keepers:
            known = {record.id for record in keeper.servers()}
            for server in wanted:
                if server.id not in known:
                    continue
                try:
                    left += keeper.stop(server.id, force=force)
                    stopped.append(server)
                except KeeperRefused as error:
                    if error.data["kind"] != "owned":
                        raise
                    in_use.append(server)
    return Ended(tuple(stopped), tuple(in_use), tuple(left))


def end_server(server: OwnServer) -> None:
    """End one server that nobody uses."""
    with running_keepers() as keepers:
        for keeper in keepers:
            keeper.stop(server.id)
