"""Every test has a system database and workspaces of its own."""

import asyncio


async def test_a_note_is_kept(acme):
    assert (await acme.post("/notes", json={"body": "buy milk"})).status_code == 201

    assert (await acme.get("/notes")).json() == ["buy milk"]


async def test_a_workspace_sees_its_own_notes_only(acme, client):
    globex = await client("globex")
    await globex.post("/workspaces", json={"name": "globex"})
    await acme.post("/notes", json={"body": "secret"})

    assert (await globex.get("/notes")).json() == []


async def test_an_unknown_workspace_is_not_found(client):
    stranger = await client("nobody")

    assert (await stranger.get("/notes")).status_code == 404


async def test_a_name_that_could_be_sql_is_refused(client):
    stranger = await client("x")

    refused = await stranger.post("/workspaces", json={"name": 'x"; DROP DATABASE postgres; --'})

    assert refused.status_code == 422


async def test_a_workspace_whose_database_is_not_there_yet_is_busy(client, pg_tenants_async):
    async with pg_tenants_async.system() as connection:
        await connection.execute("INSERT INTO workspace VALUES ('late')")
    late = await client("late")

    assert (await late.get("/notes")).status_code == 503


async def test_twenty_requests_at_once_write_twenty_notes(acme):
    await asyncio.gather(*(acme.post("/notes", json={"body": str(n)}) for n in range(20)))

    assert sorted((await acme.get("/notes")).json(), key=int) == [str(n) for n in range(20)]


async def test_a_workspace_asked_for_twice_is_made_once(client, pg_tenants_async):
    speaker = await client("acme")

    await asyncio.gather(*(speaker.post("/workspaces", json={"name": "acme"}) for _ in range(5)))

    assert list(pg_tenants_async.databases) == ["acme"]
