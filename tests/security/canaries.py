"""Thirty secrets, each planted where people keep theirs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

# Every kind of letter that a parser may stumble over; the beginning is what is looked for.
_ENDINGS = ("", "@x", ":y", "/z", "?q=1", "#f", "%41", " gap", "'q'", '"d"', "\\b", "&a", "=e", "[1]", "é", "$v", ",c", ";s", "!", "^", "~")  # fmt: skip


@dataclass(frozen=True)
class Canary:
    """A secret, and how it got there: settings, variables, files of the project."""

    place: str
    word: str
    server: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    migrations: tuple[str, ...] = ("schema.sql",)

    def spellings(self):
        """How it may be written; the beginning without special letters is enough."""
        return (self.word.partition("-")[0],)


def canaries(host, port):
    """All of them, about a server at that address."""
    made = []
    there = f"{host}:{port}/postgres"

    def plant(place, plain=False, **how):
        number = len(made)
        ending = "" if plain else _ENDINGS[number % len(_ENDINGS)]
        word = f"k4n4r1{number:02d}q-{ending}"
        filled = {key: value(word) if callable(value) else value for key, value in how.items()}
        made.append(Canary(place, word, **filled))

    url = lambda word: f"postgresql://tester:{quote(word, safe='')}@{there}"  # noqa: E731
    # In the address, wherever an address has room for one.
    plant("the password of a URL", server=url)
    plant(
        "a URL with percent signs",
        server=lambda word: f"postgresql://tester:{quote(quote(word, safe=''), safe='%')}@{there}",
    )
    plant(
        "a URL with a driver",
        server=lambda word: url(word).replace("postgresql:", "postgresql+psycopg:"),
    )
    plant(
        "a URL, unencoded", plain=True, server=lambda word: f"postgresql://tester:{word}@@{there}"
    )
    plant(
        "a URL, a slash inside",
        plain=True,
        server=lambda word: f"postgresql://tester:{word}/x@{there}",
    )
    plant("a URL, its port wrong", server=lambda word: url(word).replace(f":{port}", ":99999999"))
    plant(
        "a URL, its port a word",
        plain=True,
        server=lambda word: f"postgresql://tester:{word}@{host}:port/postgres",
    )
    plant(
        "a URL without a host",
        server=lambda word: (
            f"postgresql://tester:{quote(word, safe='')}@/postgres?host={host}&port={port}"
        ),
    )
    plant(
        "a URL to several hosts",
        server=lambda word: (
            f"postgresql://tester:{quote(word, safe='')}@{host}:{port},{host}:{port}/postgres"
        ),
    )
    plant(
        "the query of a URL",
        server=lambda word: f"postgresql://tester@{there}?password={quote(word, safe='')}",
    )
    plant(
        "the key of a certificate",
        server=lambda word: f"postgresql://tester@{there}?sslpassword={quote(word, safe='')}",
    )
    plant(
        "a client's secret",
        server=lambda word: (
            f"postgresql://tester@{there}?oauth_client_secret={quote(word, safe='')}"
        ),
    )
    plant(
        "a key of SCRAM",
        server=lambda word: f"postgresql://tester@{there}?scram_client_key={quote(word, safe='')}",
    )
    plant("a URL with a parameter nobody knows", server=lambda word: f"{url(word)}?nonsense=1")
    plant("a URL of another kind", server=lambda word: url(word).replace("postgresql:", "mysql:"))
    plant(
        "keywords",
        plain=True,
        server=lambda word: f"host={host} port={port} user=tester password={word}",
    )
    plant(
        "keywords in quotes",
        plain=True,
        server=lambda word: f"host={host} port={port} user=tester password='{word} and more'",
    )
    plant(
        "keywords that break off",
        plain=True,
        server=lambda word: f"host={host} port={port} password='{word}",
    )
    # In variables and files that libpq and others read.
    plant("FRESHPG_SERVER", variables=lambda word: (("FRESHPG_SERVER", url(word)),))
    plant(
        "PGPASSWORD",
        server=f"postgresql://tester@{there}",
        variables=lambda word: (("PGPASSWORD", word),),
    )
    plant(
        "DATABASE_URL",
        variables=lambda word: (("DATABASE_URL", url(word)),),
        server=f"postgresql://tester@{there}",
    )
    plant(
        "FRESHPG_URL",
        variables=lambda word: (("FRESHPG_URL", url(word)),),
        server=f"postgresql://tester@{there}",
    )
    plant(
        "a password file",
        plain=True,
        server=f"postgresql://tester@{there}",
        variables=(("PGPASSFILE", "pgpass"),),
        files=lambda word: (("pgpass", f"*:*:*:*:{word}\n"),),
    )
    plant(
        "a service file",
        plain=True,
        server=f"postgresql://tester@{there}",
        variables=(("PGSERVICEFILE", "services"), ("PGSERVICE", "work")),
        files=lambda word: (("services", f"[work]\nhost={host}\nport={port}\npassword={word}\n"),),
    )
    plant(
        "a variable of the application",
        server=f"postgresql://tester@{there}",
        variables=lambda word: (("STRIPE_API_KEY", word), ("AWS_SECRET_ACCESS_KEY", word)),
    )
    # In migrations, which fail.
    plant(
        "a command's URL",
        plain=True,
        migrations=lambda word: (f"run:false postgresql://tester:{word}@{there}",),
    )
    plant(
        "a command's option", plain=True, migrations=lambda word: (f"run:false --password={word}",)
    )
    plant(
        "a command's variable",
        plain=True,
        migrations=lambda word: (f"run:env PGPASSWORD={word} false",),
    )
    plant(
        "a command's words",
        plain=True,
        migrations=("run:./migrate.sh",),
        files=lambda word: (
            (
                "migrate.sh",
                f"#!/bin/sh\necho connecting to postgresql://tester:{word}@{there}\nexit 3\n",
            ),
        ),
    )
    plant(
        "a statement",
        plain=True,
        migrations=("roles.sql",),
        files=lambda word: (
            (
                "roles.sql",
                f"ALTER ROLE CURRENT_USER PASSWORD '{word}';\nALTER ROLE nobody_here PASSWORD '{word}';\n",
            ),
        ),
    )
    return made  # fmt: skip
