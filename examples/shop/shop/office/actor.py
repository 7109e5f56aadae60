"""Who is at the desk: the audit log wants to know."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def act_as(session: Session, name: str) -> None:
    """Let the audit log call this transaction's changes by the person's name."""
    session.execute(select(func.set_config("shop.actor", name, True)))
