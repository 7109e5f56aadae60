"""What the shop remembers about itself: events, changes, and answers already given."""

from datetime import datetime
from typing import Any

from sqlalchemy import FetchedValue, Identity, Index, Integer, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from shop.models.base import Base


class Event(Base):
    """Something that happened, for ever: triggers forbid every change."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("stream", "version"),)

    position: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, server_default=FetchedValue()
    )
    stream: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    type: Mapped[str]
    data: Mapped[dict[str, Any]]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditEntry(Base):
    """One change of one row, written by a trigger."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_table_name_row_key", "table_name", "row_key"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    table_name: Mapped[str]
    row_key: Mapped[str]
    operation: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    actor: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IdempotencyKey(Base):
    """The answer to a request, given again when the request comes again."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    response: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
