"""The settings as data; however they are made, the same checks run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freshpg.core.errors import BlueprintInvalid, SettingsInvalid
from freshpg.core.redaction import redact
from freshpg.core.settings import check
from freshpg.core.settings.origin import CALL, DEFAULT, Origin, nearest
from freshpg.core.settings.rows import SettingRow, describe
from freshpg.core.settings.schema import FIELDS, SERVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freshpg.core.conninfo import Conninfo


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DatabaseSettings:
    """One blueprint as the user wrote it; ``None`` means: as the project's settings say.

    ``blueprint`` is the short name the table stands under; :class:`Settings` fills it in.
    """

    name: str = ""
    migrations: tuple[str, ...] | None = None
    seed: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    superuser: bool | None = None
    isolation: str | None = None
    deadline: float | None = None
    blueprint: str = ""

    def __repr__(self) -> str:
        values = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self))
        # A step may be a command with a password in it.
        return redact(f"DatabaseSettings({values})")


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """What the user decided. Times in seconds, sizes in bytes.

    Texts such as ``"10m"`` and ``"2GB"``, lists, and plain mappings for ``databases`` are taken too; after
    construction every value has the type of its annotation.

    Attributes:
        root: Directory of the project; paths of migrations start here.
        server: ``auto``, ``embedded``, ``system``, ``container``, or the address of somebody else's server.
        postgres: Major version wanted; ``None`` takes the newest the provider has.
        isolation: Level for tests that ask for none.
        linger: How long the keeper leaves an idle server up.
        deadline: How long the migrations of one blueprint may take.
        allow_create: Whether databases may be created on a server given by address.
        superuser: Whether tests connect as a superuser.
        extensions: Extensions created in every database by the admin.
        stock: Clones kept ready for each blueprint.
        keep: Databases of failed tests kept before the oldest is dropped.
        locale: Locale of servers of ours; ``None`` takes the one that is the same everywhere.
        settings: Server parameters for servers of ours.
        images_max: Images kept in the cache.
        images_max_size: Bytes the images in the cache may take together.
        databases: Blueprints by their short name.
        origins: Where each given value came from, by dotted key.

    Raises:
        SettingsInvalid: A value has the wrong type or is out of range, or two contradict each other.
        BlueprintInvalid: A database has no ``migrations``, or shares names with another one.
        NameInvalid: A database name cannot be used.
        UrlInvalid: The address of a server cannot be understood.
    """

    root: Path = field(default_factory=Path.cwd)
    server: str = "auto"
    postgres: int | None = None
    isolation: str = "reset"
    linger: float = 600.0
    deadline: float = 600.0
    allow_create: bool = False
    superuser: bool = False
    extensions: tuple[str, ...] = ()
    stock: int = 2
    keep: int = 5
    locale: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    images_max: int = 16
    images_max_size: int = 2 * 1024**3
    databases: Mapping[str, DatabaseSettings] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        given["root"] = Path(self.root).absolute()
        given["origins"] = origins = dict(self.origins)
        for key in ("databases", *FIELDS):
            origins.setdefault(
                key, DEFAULT if given[key] == _DEFAULTS.get(key) or not given[key] else CALL
            )
        checked = check.settings(given)
        checked["databases"] = {
            name: DatabaseSettings(**values, blueprint=name)
            for name, values in check.databases(given, checked).items()
        }
        for key, value in checked.items():
            object.__setattr__(self, key, value)

    @classmethod
    def from_project(cls, path: Path | str = ".") -> Settings:
        """Read the settings of the project that ``path`` lies in, with this process's environment.

        Raises:
            ConfigurationError: See :func:`load_settings`.
        """
        import os

        from freshpg.core.settings.sources import load_settings

        return load_settings(Path(path), environment=os.environ)

    @property
    def conninfo(self) -> Conninfo | None:
        """Address of somebody else's server, or ``None`` when freshpg finds one itself."""
        if self.server in SERVERS:
            return None
        from freshpg.core.conninfo import Conninfo

        return Conninfo.parse(self.server)

    def database(self, name: str = "main") -> DatabaseSettings:
        """Return a blueprint's settings with those of the project filled in where it says nothing.

        Raises:
            BlueprintInvalid: There is no blueprint of this name.
        """
        if name not in self.databases:
            near = nearest(name, tuple(self.databases))
            raise BlueprintInvalid(
                "a blueprint was asked for that is not configured",
                on=repr(name),
                seen=f"configured: {', '.join(self.databases)}",
                todo=(
                    *([f"did you mean {near}?"] if near else []),
                    f"add [tool.freshpg.databases.{name}]",
                ),
            )
        own = self.databases[name]
        return replace(
            own,
            extensions=tuple(dict.fromkeys((*self.extensions, *own.extensions))),
            superuser=self.superuser if own.superuser is None else own.superuser,
            isolation=own.isolation or self.isolation,
            deadline=self.deadline if own.deadline is None else own.deadline,
        )

    def origin(self, key: str) -> Origin:
        """Return where the value of a dotted key such as ``databases.main.name`` came from.

        Raises:
            SettingsInvalid: There is no such key.
        """
        known = {row.key for row in self.describe()} | {"databases", "settings"}
        known |= {f"databases.{name}" for name in self.databases}
        if key not in known:
            near = nearest(key, sorted(known))
            raise SettingsInvalid(
                "the origin of a key was asked for that does not exist",
                on=key,
                todo=(f"did you mean {near}?",) if near else (),
            )
        return self.origins.get(key, DEFAULT)

    def with_(self, origin: str = CALL.text, **changes: Any) -> Settings:
        """Return a copy with some values replaced, each remembering ``origin``; checked like any settings."""
        moved = {key: Origin(origin) for key in changes}
        kept = {
            key: value
            for key, value in self.origins.items()
            if key.partition(".")[0] not in changes
        }
        return replace(self, **changes, origins={**kept, **moved})

    def describe(self) -> list[SettingRow]:
        """Return every key with its value, safe to show, and its origin, in the order of the reference."""
        return describe(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{row.key}={row.value}" for row in self.describe())
        return f"Settings({shown})"


_DEFAULTS = {item.name: item.default for item in fields(Settings)}
