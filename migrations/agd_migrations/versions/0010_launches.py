"""Fields of the queue's documents that SQL sets by itself: a launch takes one statement to begin and one to end.

Revision ID: 0010
Revises: 0009
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "document",
        sa.Column(
            "newer",
            postgresql.JSONB(astext_type=sa.Text()),
            comment="fields that SQL has set since: they go over the BSON, and are in body",
        ),
        schema="queue",
    )


def downgrade() -> None:
    import bson

    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT collection_id, position, bson, newer FROM queue.document WHERE newer IS NOT NULL")
    )
    exact = [
        {
            "collection": row.collection_id,
            "at": row.position,
            "bson": bson.encode(bson.decode(row.bson) | _read(row.newer)),
        }
        for row in rows
    ]
    if exact:
        connection.execute(
            sa.text("UPDATE queue.document SET bson = :bson WHERE collection_id = :collection AND position = :at"),
            exact,
        )
    op.drop_column("document", "newer", schema="queue")


def _read(newer: dict[str, Any]) -> dict[str, Any]:
    """What the JSON stands for: of a date, its milliseconds."""
    return {
        name: datetime.fromtimestamp(value["$date"] / 1000, UTC)
        if isinstance(value, dict) and "$date" in value
        else value
        for name, value in newer.items()
    }
