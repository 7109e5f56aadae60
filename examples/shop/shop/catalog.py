"""Questions about the catalogue, as statements: whoever has a session may ask them."""

from dataclasses import dataclass

from sqlalchemy import Select, Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import aliased

from shop.models import Category, PricePeriod, Product

LONGEST_PAGE = 100


@dataclass(frozen=True)
class Page:
    """A stretch of a list: what comes after a key, not after a count.

    Pages stay right while products are added and removed, and the last one costs what the
    first one does.
    """

    after: int = 0
    limit: int = 20


def one_product(sku: str) -> Select[tuple[Product]]:
    """Select a product by its SKU, active or not."""
    return select(Product).where(Product.sku == sku)


def active_products(page: Page, category_slug: str | None = None) -> Select[tuple[Product]]:
    """Select a page of what is on sale, in the category and everything below it."""
    products = select(Product).where(Product.active, Product.id > page.after)
    if category_slug is not None:
        products = products.where(Product.category_id.in_(subtree(category_slug)))
    return products.order_by(Product.id).limit(min(page.limit, LONGEST_PAGE))


def subtree(slug: str) -> Select[tuple[int]]:
    """Select the ids of a category and of all its descendants."""
    tree = select(Category.id).where(Category.slug == slug).cte("tree", recursive=True)
    child = aliased(Category)
    tree = tree.union_all(select(child.id).join(tree, child.parent_id == tree.c.id))
    return select(tree.c.id)


def breadcrumbs(slug: str) -> Select[tuple[str]]:
    """Select the slugs from the root of the tree down to the category."""
    path = (
        select(Category.id, Category.parent_id, Category.slug, literal(0).label("height"))
        .where(Category.slug == slug)
        .cte("path", recursive=True)
    )
    parent = aliased(Category)
    path = path.union_all(
        select(parent.id, parent.parent_id, parent.slug, path.c.height + 1).join(
            path, parent.id == path.c.parent_id
        )
    )
    return select(path.c.slug).order_by(path.c.height.desc())


def matching_products(words: str, limit: int = 20) -> Select[tuple[Product, str]]:
    """Select what a customer searches for, best match first, with the matched words marked.

    The words are read like in a web search: ``"exact phrase"``, ``or``, ``-not``.
    """
    query = func.websearch_to_tsquery("english", words)
    document = cast(func.array_to_string(array([Product.name, Product.description]), " — "), Text)
    headline = func.ts_headline("english", document, query, "StartSel=**, StopSel=**")
    return (
        select(Product, headline)
        .where(Product.active, Product.search.op("@@")(query))
        .order_by(func.ts_rank(Product.search, query).desc(), Product.id)
        .limit(min(limit, LONGEST_PAGE))
    )


def current_price_cents() -> Select[tuple[int]]:
    """Select the price of the product of the enclosing statement, at the time of the question."""
    special = select(PricePeriod.price_cents).where(
        PricePeriod.product_id == Product.id,
        PricePeriod.during.op("@>")(func.now()),
    )
    return select(func.coalesce(special.scalar_subquery(), Product.price_cents)).correlate(Product)
