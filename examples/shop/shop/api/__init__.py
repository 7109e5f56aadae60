"""The web application."""

from shop.api.app import create_app

__all__ = ["create_app"]
