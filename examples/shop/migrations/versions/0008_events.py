"""The event table: append-only, one version a stream, positions in commit order, announced."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"

# A sequence hands out numbers before the commit, so a reader could see 6, go on, and miss 5.
# One writer at a time, from the number to the commit, makes "after position n" complete.
TAKE_POSITION = """
CREATE FUNCTION take_event_position() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('shop.events'));
    NEW.position := nextval('event_position');
    RETURN NEW;
END $$
"""
ANNOUNCE = """
CREATE FUNCTION announce_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('shop_events', NEW.position::text);
    RETURN NULL;
END $$
"""
REFUSE = """
CREATE FUNCTION refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only'
        USING ERRCODE = 'restrict_violation', HINT = 'Append an event that corrects it.';
END $$
"""


def upgrade() -> None:
    """Create the table and its three guards."""
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sa.UniqueConstraint("stream", "version", name="uq_events_stream_version"),
    )
    op.execute("CREATE SEQUENCE event_position OWNED BY events.position")
    for function in (TAKE_POSITION, ANNOUNCE, REFUSE):
        op.execute(function)
    op.execute(
        "CREATE TRIGGER take_event_position BEFORE INSERT ON events"
        " FOR EACH ROW EXECUTE FUNCTION take_event_position()"
    )
    op.execute(
        "CREATE TRIGGER announce_event AFTER INSERT ON events"
        " FOR EACH ROW EXECUTE FUNCTION announce_event()"
    )
    op.execute(
        "CREATE TRIGGER refuse_event_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_event_change()"
    )


def downgrade() -> None:
    """Drop the table and its functions."""
    op.drop_table("events")
    for function in ("take_event_position", "announce_event", "refuse_event_change"):
        op.execute(f"DROP FUNCTION {function}()")
