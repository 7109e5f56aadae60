"""The tables as typed classes. What the database guards itself is in the migrations."""

from shop.models.base import Base
from shop.models.bookkeeping import AuditEntry, Event, IdempotencyKey
from shop.models.buying import Cart, CartLine, Coupon, CouponRedemption, Customer
from shop.models.catalog import Category, Country, PricePeriod, Product, ShippingMethod
from shop.models.orders import Order, OrderLine, OrderStatus, Payment, Refund
from shop.models.stock import StockLevel, StockReservation

__all__ = [
    "AuditEntry",
    "Base",
    "Cart",
    "CartLine",
    "Category",
    "Country",
    "Coupon",
    "CouponRedemption",
    "Customer",
    "Event",
    "IdempotencyKey",
    "Order",
    "OrderLine",
    "OrderStatus",
    "Payment",
    "PricePeriod",
    "Product",
    "Refund",
    "ShippingMethod",
    "StockLevel",
    "StockReservation",
]
