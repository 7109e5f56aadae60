"""Looking around."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from shop import catalog
from shop.api.schemas import ProductOut, ProductPage, SearchHit
from shop.api.transactions import InTransaction
from shop.errors import NotFoundError

router = APIRouter(prefix="/products")
Limit = Annotated[int, Query(ge=1, le=catalog.LONGEST_PAGE)]


@router.get("")
async def list_products(
    run: InTransaction, after: int = 0, limit: Limit = 20, category: str | None = None
) -> ProductPage:
    """Return a page of what is on sale."""

    async def work(session: AsyncSession) -> ProductPage:
        page = catalog.Page(after, limit)
        found = list(await session.scalars(catalog.active_products(page, category)))
        return ProductPage(
            products=[ProductOut.model_validate(product) for product in found],
            next_after=found[-1].id if len(found) == limit else None,
        )

    return await run.run(work)


@router.get("/search")
async def search(run: InTransaction, q: str, limit: Limit = 20) -> list[SearchHit]:
    """Return what matches the words, best first."""

    async def work(session: AsyncSession) -> list[SearchHit]:
        rows = await session.execute(catalog.matching_products(q, limit))
        return [
            SearchHit(product=ProductOut.model_validate(product), headline=headline)
            for product, headline in rows
        ]

    return await run.run(work)


@router.get("/{sku}")
async def show_product(run: InTransaction, sku: str) -> ProductOut:
    """Return one product, on sale or not."""

    async def work(session: AsyncSession) -> ProductOut:
        product = await session.scalar(catalog.one_product(sku))
        if product is None:
            raise NotFoundError("product", sku)
        return ProductOut.model_validate(product)

    return await run.run(work)
