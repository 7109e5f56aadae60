"""Where a database is, once parsed, rendered for every driver; never shows its password."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from freshpg.core.errors import UrlInvalid
from freshpg.core.redaction import SECRET_PARAMETERS, Secret, redact, redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_PORT", "DIALECTS", "REDIRECTING_VARIABLES", "Conninfo", "redact"]

DEFAULT_PORT = 5432
DIALECTS = (
    "postgresql",
    "sqlalchemy+psycopg",
    "sqlalchemy+asyncpg",
    "sqlalchemy+psycopg2",
    "sqlalchemy+pg8000",
    "asyncpg",
    "django",
    "jdbc",
)

REDIRECTING_VARIABLES = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")
"""Variables that lead libpq elsewhere whatever ``PGHOST`` says: remove them where :meth:`environment` is used."""

# What the environment may ask of every connection, with what stands for not asking. libpq before 16 refuses those of
# the second table, which it does not read from the environment either.
_ASKED = {
    "hostaddr": ("PGHOSTADDR", ""),
    "options": ("PGOPTIONS", ""),
    "sslmode": ("PGSSLMODE", "prefer"),
    "sslrootcert": ("PGSSLROOTCERT", ""),
    "gssencmode": ("PGGSSENCMODE", "disable"),
    "channel_binding": ("PGCHANNELBINDING", "prefer"),
    "target_session_attrs": ("PGTARGETSESSIONATTRS", "any"),
    "requirepeer": ("PGREQUIREPEER", ""),
}
_ASKED_LATELY = {
    "require_auth": ("PGREQUIREAUTH", ""),
    "sslnegotiation": ("PGSSLNEGOTIATION", "postgres"),
}

_SCHEMES = {
    "postgresql": "postgresql",
    "asyncpg": "postgresql",
    "django": "postgresql",
    "psycopg": "postgresql",
    "sqlalchemy": "postgresql+psycopg",
    "sqlalchemy+psycopg": "postgresql+psycopg",
    "sqlalchemy+psycopg2": "postgresql+psycopg2",
    "sqlalchemy+asyncpg": "postgresql+asyncpg",
    "sqlalchemy+pg8000": "postgresql+pg8000",
}

# asyncpg sends a parameter it does not know to the server, which refuses the connection; through SQLAlchemy it is an
# unknown argument of asyncpg.connect(). Each table: keyword of libpq -> name there.
_ASYNCPG_ARGUMENTS = ("krbsrvname", "gsslib", "passfile", "service", "target_session_attrs")
_ASYNCPG_TLS = (
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
)
_RENAMED = {
    "asyncpg": {
        key: key for key in (*_ASYNCPG_ARGUMENTS, *_ASYNCPG_TLS, "application_name", "options")
    },
    "sqlalchemy+pg8000": {"application_name": "application_name"},
    "sqlalchemy+asyncpg": {**{key: key for key in _ASYNCPG_ARGUMENTS}, "sslmode": "ssl"},
    "jdbc": {
        "application_name": "ApplicationName",
        "connect_timeout": "connectTimeout",
        "options": "options",
        "sslmode": "sslmode",
        "sslrootcert": "sslrootcert",
    },
}

_VARIABLES = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "gssencmode": "PGGSSENCMODE",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


@dataclass(frozen=True, slots=True, repr=False)
class Conninfo:
    """Address of one database on one server.

    ``host`` is a name, an address, or the directory of a Unix socket (it then starts with ``/`` or ``@``). A ``settled``
    address is whole: connections to it take nothing from ``PG*`` variables or a service file that could lead them
    elsewhere or make them fail.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    user: str = ""
    password: str | None = None
    dbname: str = ""
    params: tuple[tuple[str, str], ...] = ()
    settled: bool = field(default=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Conninfo:
        """Read a URL (``postgresql://``, ``postgres://``, ``postgresql+driver://``) or libpq keywords.

        Raises:
            UrlInvalid: The text is neither.
        """
        from freshpg.core import libpq

        if not text or not text.strip():
            raise _invalid("", "nothing was given")
        if "\0" in text:
            raise _invalid("", "it holds a NUL character")
        is_url = re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*://", text) is not None
        if not is_url and "=" not in text:
            raise _invalid(
                "", "neither a URL (postgresql://…) nor libpq keywords (host=… dbname=…)"
            )
        shown = text.strip() if is_url else ""
        try:
            pairs = libpq.read_url(shown) if is_url else libpq.read_keywords(text)
        except ValueError as error:
            raise _invalid(shown, str(error)) from None
        return _from_pairs(pairs, shown)

    @property
    def is_socket(self) -> bool:
        """Whether the host is the directory of a Unix socket."""
        return self.host.startswith(("/", "@"))

    def with_(self, **changes: Any) -> Conninfo:
        """Return a copy with some parts replaced."""
        return replace(self, **changes)

    def keywords(self) -> dict[str, str | int]:
        """Return libpq keywords, as ``psycopg.connect(**keywords)`` takes them."""
        pairs: dict[str, str | int | None] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
            **dict(self.params),
        }
        given = {
            key: Secret(value) if key in SECRET_PARAMETERS else value
            for key, value in pairs.items()
            if value is not None and value != ""
        }
        return {**_unasked(os.environ), **given} if self.settled else given

    def dsn(self) -> str:
        """Return libpq's ``key=value`` text, quoted by libpq's rules."""
        from freshpg.core import libpq

        return libpq.write_keywords(self.keywords())

    def url(self, dialect: str = "postgresql") -> str:
        """Return a URL for a driver; ``dialect`` is one of :data:`DIALECTS`.

        Raises:
            UrlInvalid: The dialect is unknown.
        """
        if dialect == "jdbc":
            return self._jdbc()
        if dialect not in _SCHEMES:
            raise UrlInvalid(
                "a URL was asked for a driver that is not known",
                on=repr(dialect),
                todo=(f"use one of: {', '.join(DIALECTS)}",),
            )
        database = quote(self.dbname, safe="")
        return f"{_SCHEMES[dialect]}://{self._authority()}/{database}{self._query(dialect)}"

    def environment(self) -> dict[str, str]:
        """Return what libpq and most programs read: ``PG*``, ``DATABASE_URL``, ``FRESHPG_URL``."""
        named = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password or "",
            "PGDATABASE": self.dbname,
            "DATABASE_URL": self.url(),
            "FRESHPG_URL": self.url(),
        }
        named |= {_VARIABLES[key]: value for key, value in self.params if key in _VARIABLES}
        return {key: value for key, value in named.items() if value}

    def safe(self) -> str:
        """Return the URL without passwords, for messages."""
        params = tuple(
            (key, "***" if key in SECRET_PARAMETERS else value) for key, value in self.params
        )
        return self.with_(password="***" if self.password else None, params=params).url()

    def __str__(self) -> str:
        return self.safe()

    def __repr__(self) -> str:
        return f"Conninfo({self.safe()!r})"

    def _authority(self) -> str:
        login = quote(self.user, safe="")
        if self.password:
            login += ":" + quote(self.password, safe="*")
        login += "@" if login else ""
        if self.is_socket or not self.host:
            # SQLAlchemy and asyncpg take the port of a socket from the query.
            return login
        # Always with its port: without, libpq and asyncpg would follow PGPORT.
        return f"{login}{self._bracketed_host()}:{self.port}"

    def _bracketed_host(self) -> str:
        return f"[{quote(self.host, safe=':')}]" if ":" in self.host else quote(self.host, safe="")

    def _query(self, dialect: str) -> str:
        pairs = self._renamed_params(dialect)
        if self.is_socket and dialect == "sqlalchemy+pg8000":
            # It takes the socket itself: https://github.com/tlocke/pg8000
            pairs = [("unix_sock", f"{self.host}/.s.PGSQL.{self.port}"), *pairs]
        elif self.is_socket:
            pairs = [("host", self.host), ("port", str(self.port)), *pairs]
        elif not self.host:
            pairs = [("port", str(self.port)), *pairs]
        return _joined(pairs, safe="*/")

    def _renamed_params(self, dialect: str) -> list[tuple[str, str]]:
        if dialect not in _RENAMED:
            return list(self.params)
        names = _RENAMED[dialect]
        return [(names[key], value) for key, value in self.params if key in names]

    def _jdbc(self) -> str:
        if self.is_socket:
            raise UrlInvalid(
                "a JDBC URL was asked for a server on a Unix socket",
                on=self.safe(),
                seen="JDBC speaks TCP only",
                todo=("start the server with a port on loopback: freshpg run --tcp 5440 -- CMD",),
            )
        login = [("user", self.user), ("password", self.password or "")]
        query = _joined([*login, *self._renamed_params("jdbc")], safe="")
        host = self._bracketed_host() or "localhost"
        return f"jdbc:postgresql://{host}:{self.port}/{quote(self.dbname, safe='')}{query}"


def _unasked(environ: Mapping[str, str]) -> dict[str, str]:
    """Return keywords that withstand what the environment asks; none where it asks nothing."""
    asked = {**_ASKED, **_ASKED_LATELY}
    return {
        key: default
        for key, (variable, default) in asked.items()
        if variable in environ or ("PGSERVICE" in environ and key in _ASKED)
    }


def _joined(pairs: list[tuple[str, str]], *, safe: str) -> str:
    parts = [f"{quote(key)}={quote(value, safe=safe)}" for key, value in pairs if value]
    return f"?{'&'.join(parts)}" if parts else ""


def _from_pairs(pairs: dict[str, str], text: str) -> Conninfo:
    host = pairs.pop("host", "") or pairs.pop("hostaddr", "")
    if "," in host:
        raise _invalid(text, "several hosts were named; one server is needed")
    return Conninfo(
        host=host,
        port=_port(text, pairs.pop("port", "")),
        user=pairs.pop("user", ""),
        password=pairs.pop("password", "") or None,
        dbname=pairs.pop("dbname", ""),
        params=tuple(sorted(pairs.items())),
    )


def _port(text: str, value: str) -> int:
    if not value:
        return DEFAULT_PORT
    highest = 65535
    if not re.fullmatch("[0-9]{1,5}", value) or not 0 < int(value) <= highest:
        # Not quoted: with an unencoded character in a password, this is a part of it.
        raise _invalid(text, f"the port is not a number from 1 to {highest}")
    return int(value)


def _invalid(text: str, seen: str) -> UrlInvalid:
    return UrlInvalid(
        "the address of a server was read",
        on=redact_url(text),
        seen=seen,
        todo=(
            "write it as postgresql://user:password@host:5432/database",
            "percent-encode special characters of the password: @ as %40, : as %3A, / as %2F",
        ),
    )
