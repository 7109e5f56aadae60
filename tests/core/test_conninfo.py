"""Addresses mean to every driver what they mean to libpq, and no spelling shows a password."""

import copy
import pickle
from urllib.parse import quote

import psycopg
import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo as PQconninfo
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from freshpg.core.conninfo import DIALECTS, Conninfo
from freshpg.core.errors import UrlInvalid
from freshpg.core.redaction import redact

SECRET = "p@s:s/w?o#r%d' \\&=é"

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NAMES = TEXT.filter(bool)
SOCKETS = TEXT.map(lambda rest: "/" + rest.replace(",", "")) | st.just("@abstract")
HOSTS = st.sampled_from(
    ["localhost", "db-1.example.org", "127.0.0.1", "::1", "fe80::1%eth0", "2001:db8::5"]
)
PARAMS = st.dictionaries(
    st.sampled_from(
        ["application_name", "options", "sslmode", "connect_timeout", "sslpassword", "passfile"]
    ),
    NAMES,
).map(lambda pairs: tuple(sorted(pairs.items())))
ADDRESSES = st.builds(
    Conninfo,
    host=st.just("") | HOSTS | SOCKETS,
    port=st.integers(1, 65535),
    user=TEXT,
    password=st.none() | NAMES,
    dbname=TEXT,
    params=PARAMS,
)


def by_libpq(text):
    """What libpq itself reads, by PQconninfoParse."""
    options = PQconninfo.parse(text.encode())
    return {o.keyword.decode(): o.val.decode() for o in options if o.val}


def as_texts(conninfo):
    return {key: str(value) for key, value in conninfo.keywords().items()}


@given(ADDRESSES)
def test_libpq_reads_our_url_as_we_meant_it(conninfo):
    assert by_libpq(conninfo.url()) == as_texts(conninfo)
    assert conninfo_to_dict(conninfo.url()) == as_texts(conninfo)


@given(ADDRESSES)
def test_libpq_reads_our_keywords_as_we_meant_them(conninfo):
    assert by_libpq(conninfo.dsn()) == as_texts(conninfo)


@given(ADDRESSES)
def test_an_address_survives_being_written_and_read(conninfo):
    for dialect in ("postgresql", "sqlalchemy+psycopg", "sqlalchemy+psycopg2", "django"):
        assert Conninfo.parse(conninfo.url(dialect)) == conninfo
    assert Conninfo.parse(conninfo.dsn()) == conninfo


def only_unknown(error, complaint):
    assert complaint in str(error)


LOOSE = st.text("ab1@:/?#[]%20&=+ ~.\\'é,", max_size=24)


@given(LOOSE)
@example("u:p?w@h/d")
@example("u:p@h//d")
@example("%2Ftmp%2FX:5433/d")
@example("h/d?options=-c+a")
@example("h/d#x")
@example("[::1]/d")
def test_whatever_url_we_take_libpq_takes_as_the_same(rest):
    try:
        ours = Conninfo.parse(f"postgresql://{rest}")
    except UrlInvalid:
        return
    try:
        theirs = by_libpq(f"postgresql://{rest}".strip())
    except psycopg.OperationalError as error:
        # libpq also knows its keywords; a driver we hand them to says so itself.
        only_unknown(error, "invalid URI query parameter")
        return
    host = theirs.pop("hostaddr", None)
    assert as_texts(ours) == {"port": "5432", **({"host": host} if host else {}), **theirs}


@given(st.text("ab1='\\ \n\t", max_size=20))
@example("it's")
@example("x'y\\ z' port=1")
@example("'a'port=5433")
@example(" dbname=x")
@example("a\\")
def test_whatever_keywords_we_take_libpq_takes_as_the_same(rest):
    written = f"user={rest}"
    try:
        ours = Conninfo.parse(written)
    except UrlInvalid:
        with pytest.raises(psycopg.OperationalError):
            by_libpq(written)
        return
    try:
        theirs = by_libpq(written)
    except psycopg.OperationalError as error:
        only_unknown(error, "invalid connection option")
        return
    assert as_texts(ours) == {"port": "5432", **theirs}


@given(ADDRESSES.filter(lambda c: not c.host.startswith("@")))
def test_asyncpg_reads_our_url_as_we_meant_it(conninfo):
    plain = conninfo.with_(
        params=(),
        host=conninfo.host or "localhost",
        dbname=conninfo.dbname or "d",
        user=conninfo.user or "u",
    )
    addresses, parameters, *_ = parse_by_asyncpg(plain.url("asyncpg"))
    assert parameters.user == plain.user
    assert parameters.password == plain.password
    assert parameters.database == plain.dbname
    slash = "" if plain.host.endswith("/") else "/"
    socket = f"{plain.host}{slash}.s.PGSQL.{plain.port}"
    assert addresses == [socket if plain.is_socket else (plain.host, plain.port)]


def parse_by_asyncpg(dsn):
    names = (
        "host port user password passfile database ssl service servicefile direct_tls "
        "server_settings target_session_attrs krbsrvname gsslib"
    )
    return _parse_connect_dsn_and_args(dsn=dsn, **dict.fromkeys(names.split()))


@pytest.mark.parametrize(
    "dialect", ["sqlalchemy+psycopg", "sqlalchemy+asyncpg", "sqlalchemy+psycopg2"]
)
@given(conninfo=ADDRESSES.filter(lambda c: "%" not in c.host or c.is_socket))
def test_sqlalchemy_reads_our_url_as_we_meant_it(dialect, conninfo):
    conninfo = conninfo.with_(params=())
    url = make_url(conninfo.url(dialect))
    assert (url.username or "") == conninfo.user
    assert url.password == conninfo.password
    assert (url.database or "") == conninfo.dbname
    assert (url.query.get("host") or url.host or "") == conninfo.host
    assert int(url.query.get("port") or url.port) == conninfo.port


@pytest.mark.parametrize(
    "host, where",
    [
        ("db.example", ("db.example", 6000, {})),
        ("/run/pg", (None, None, {"unix_sock": "/run/pg/.s.PGSQL.6000"})),
    ],
)
def test_pg8000_is_told_its_socket_by_path(host, where):
    conninfo = Conninfo(
        host=host, port=6000, user="me", dbname="shop", params=(("sslmode", "prefer"),)
    )
    url = make_url(conninfo.url("sqlalchemy+pg8000"))
    assert (url.host or None, url.port, dict(url.query)) == where


def test_psycopg_connects_by_keywords_url_and_dsn(awkward_server):
    for connection in (
        psycopg.connect(**awkward_server.keywords()),
        psycopg.connect(awkward_server.url()),
        psycopg.connect(awkward_server.dsn()),
    ):
        with connection:
            assert connection.execute("SELECT current_database()").fetchone() == (
                awkward_server.dbname,
            )


def test_a_program_given_the_environment_reaches_the_database(awkward_server, monkeypatch):
    for name, value in (
        awkward_server.with_(params=(("application_name", "shop"),)).environment().items()
    ):
        monkeypatch.setenv(name, value)
    with psycopg.connect("") as connection:
        row = connection.execute(
            "SELECT current_database(), current_setting('application_name')"
        ).fetchone()
    assert row == (awkward_server.dbname, "shop")


@pytest.mark.asyncio
async def test_asyncpg_connects_through_a_socket_directory(awkward_server, monkeypatch):
    import asyncpg

    monkeypatch.setenv("PGPORT", "1")
    params = (
        ("application_name", "shop"),
        ("connect_timeout", "5"),
        ("options", "-c work_mem=1MB"),
    )
    connection = await asyncpg.connect(awkward_server.with_(params=params).url("asyncpg"))
    try:
        seen = await connection.fetchrow(
            "SELECT current_database(), current_setting('application_name'), current_setting('work_mem')"
        )
    finally:
        await connection.close()
    assert tuple(seen) == (awkward_server.dbname, "shop", "1MB")


@pytest.mark.asyncio
async def test_sqlalchemy_s_async_engine_connects_through_a_socket_directory(awkward_server):
    params = (("application_name", "shop"), ("sslmode", "prefer"), ("connect_timeout", "5"))
    engine = create_async_engine(awkward_server.with_(params=params).url("sqlalchemy+asyncpg"))
    try:
        async with engine.connect() as connection:
            name = await connection.scalar(text("SELECT current_database()"))
    finally:
        await engine.dispose()
    assert name == awkward_server.dbname


def test_sqlalchemy_s_sync_engine_connects_through_a_socket_directory(awkward_server):
    engine = create_engine(awkward_server.url("sqlalchemy+psycopg"))
    try:
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT current_database()")) == awkward_server.dbname
    finally:
        engine.dispose()


def test_urls_carry_their_port_so_that_pgport_cannot_lead_elsewhere(monkeypatch):
    monkeypatch.setenv("PGPORT", "1")
    for host in ("localhost", "/run/pg", ""):
        assert "5432" in Conninfo(host=host, dbname="d").url()


@pytest.mark.parametrize(
    "given, url",
    [
        (
            Conninfo(host="h", user="u", password="p w", dbname="d"),
            "jdbc:postgresql://h:5432/d?user=u&password=p%20w",
        ),
        (Conninfo(host="::1", port=5440, dbname="d"), "jdbc:postgresql://[::1]:5440/d"),
        (
            Conninfo(host="h", dbname="d", params=(("application_name", "x"), ("keepalives", "1"))),
            "jdbc:postgresql://h:5432/d?ApplicationName=x",
        ),
    ],
)
def test_jdbc_urls_are_written_by_its_rules(given, url):
    assert given.url("jdbc") == url


def test_jdbc_cannot_have_a_socket():
    with pytest.raises(UrlInvalid, match="--tcp"):
        Conninfo(host="/run").url("jdbc")


def test_an_unknown_dialect_is_told_the_known_ones():
    with pytest.raises(UrlInvalid) as caught:
        Conninfo().url("mysql")
    assert all(dialect in str(caught.value) for dialect in DIALECTS)


@pytest.mark.parametrize(
    "text, seen",
    [
        ("", "nothing was given"),
        (" \n", "nothing was given"),
        ("shop", "neither a URL"),
        ("postgresql://h/d\0", "NUL"),
        ("postgresql://h/%00", "NUL"),
        ("mysql://h/d", "not postgresql://"),
        ("postgresql://h:0/d", "port"),
        ("postgresql://h:65536/d", "port"),
        ("postgresql://h:\uff15/d", "port"),
        ("postgresql://a,b/d", "several hosts"),
        ("host=a,b", "several hosts"),
        ("postgresql:///d?host=/a,/b", "several hosts"),
        ("postgresql://[::1/d", "IPv6"),
        ("postgresql://[]/d", "IPv6"),
        ("postgresql://h/d?x", "key=value"),
        ("postgresql://h/d?a=b=c", "key=value"),
        ("postgresql://h/%zz", "hexadecimal"),
        ("postgresql://h/%ff", "UTF-8"),
        ("postgresql://h/a b", "%20"),
        ("host=h user='x", "not closed"),
        ("host=h = x", "missing at character 8"),
    ],
)
def test_a_malformed_address_is_refused_with_the_reason(text, seen):
    with pytest.raises(UrlInvalid) as caught:
        Conninfo.parse(text)
    assert seen in caught.value.seen


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2/x@h/d",
        "postgresql://u:x/hunter2@h/d",
        "postgresql://u:x@hunter2@h/d",
        "postgresql://u:x hunter2 @h:x/d",
        "postgresql://u:x\nhunter2@h:x/d",
        "postgresql://u:%hunter2@h/d",
        "postgresql://u:hunter2",
        "postgresql://u:12hunter2",
        "postgresql://h:x/d?password=hunter2",
        "postgresql://h:x/d?sslpassword=hunter2&a=b",
        "mysql://u:hunter2@h/d",
        "password='hunter2",
        "password=hunter2 port=x",
        "password = hunter2 sslpassword=hunter2 host=a,b",
    ],
)
def test_no_error_shows_a_password(text):
    with pytest.raises(UrlInvalid) as caught:
        Conninfo.parse(text)
    shown = f"{caught.value} {caught.value!r} {caught.value.data} {caught.value.to_json()}"
    assert "hunter2" not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_rendering_for_people_shows_a_password():
    conninfo = Conninfo(
        host="h",
        user="u",
        password=SECRET,
        dbname="d",
        params=(("sslpassword", SECRET), ("sslmode", "require")),
    )
    for shown in (str(conninfo), repr(conninfo), f"{conninfo}", conninfo.safe(), repr([conninfo])):
        assert SECRET not in shown
        assert quote(SECRET, safe="") not in shown
        assert "***" in shown
        assert "sslmode=require" in shown


@pytest.mark.parametrize(
    "spelling", [SECRET, quote(SECRET, safe=""), repr(SECRET), Conninfo(password=SECRET).dsn()]
)
def test_a_known_password_is_redacted_in_every_spelling(spelling):
    assert redact(f"failed: {spelling}!", SECRET, None, "").startswith("failed: ")
    assert "w?o" not in redact(f"failed: {spelling}!", SECRET)
    assert quote("w?o", safe="") not in redact(f"failed: {spelling}!", SECRET)


@pytest.mark.parametrize(
    "message, redacted",
    [
        ("at postgresql://u:pw@h/d and on", "at postgresql://u:***@h/d and on"),
        ("x password=pw y", "x password=*** y"),
        ("PASSWORD = 'p \\' w' y", "PASSWORD = *** y"),
        ("sslpassword=pw", "sslpassword=***"),
        (
            "no secret: http://localhost:8000/x me@example.org",
            "no secret: http://localhost:8000/x me@example.org",
        ),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
        ("password authentication failed", "password authentication failed"),
    ],
)
def test_passwords_are_found_in_messages_of_others(message, redacted):
    assert redact(message) == redacted


def test_an_address_is_data():
    conninfo = Conninfo(host="h", password=SECRET, dbname="d")
    assert pickle.loads(pickle.dumps(conninfo)) == conninfo == copy.deepcopy(conninfo)
    assert len({conninfo, conninfo.with_()}) == 1
    assert conninfo.with_(dbname="e") == Conninfo(host="h", password=SECRET, dbname="e")
    with pytest.raises(AttributeError):
        conninfo.host = "x"
