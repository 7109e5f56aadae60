"""A small web shop: catalogue, carts, orders, money, stock and the events that tell about them."""
