"""The same request twice is one request: the second gets the first one's answer."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shop.errors import IdempotencyKeyReusedError
from shop.models import IdempotencyKey

Answer = dict[str, Any]


async def once(
    session: AsyncSession, key: str, request: Answer, work: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Run ``work`` if the key is new, else return what it answered then.

    The key is claimed in the transaction that does the work: a second request waits for the
    first, and a failed one leaves the key free.

    :raises IdempotencyKeyReusedError: the key belongs to another request.
    """
    request_hash = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    claimed = await session.scalar(
        insert(IdempotencyKey)
        .values(key=key, request_hash=request_hash)
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.key)
    )
    if claimed is None:
        return await stored_answer(session, key, request_hash)
    answer = await work()
    await session.execute(
        update(IdempotencyKey).where(IdempotencyKey.key == key).values(response=answer)
    )
    return answer


async def stored_answer(session: AsyncSession, key: str, request_hash: str) -> Answer:
    """Return the answer given to the same request before."""
    stored = await session.get_one(IdempotencyKey, key)
    if stored.request_hash != request_hash or stored.response is None:
        raise IdempotencyKeyReusedError(f"key {key} was used for another request")
    return stored.response
