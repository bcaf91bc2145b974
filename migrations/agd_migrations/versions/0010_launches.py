"""Fields of the queue's documents that SQL sets by itself: a launch takes one statement to begin and one to end.

The BSON that they go over has another name, so that no process of the release before goes on: it would
not see them.

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
    op.alter_column(
        "document",
        "bson",
        new_column_name="base_bson",
        comment="as last written whole, exactly; without _id",
        existing_comment="the document, exactly; without _id",
        schema="queue",
    )
    op.add_column(
        "document",
        sa.Column(
            "newer",
            postgresql.JSONB(astext_type=sa.Text()),
            comment="fields that SQL has set since: they go over base_bson, and are in body",
        ),
        schema="queue",
    )


def downgrade() -> None:
    import bson

    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT collection_id, position, base_bson, newer FROM queue.document WHERE newer IS NOT NULL")
    )
    exact = [
        {
            "collection": row.collection_id,
            "at": row.position,
            "bson": bson.encode(bson.decode(row.base_bson) | _read(row.newer)),
        }
        for row in rows
    ]
    if exact:
        connection.execute(
            sa.text("UPDATE queue.document SET base_bson = :bson WHERE collection_id = :collection AND position = :at"),
            exact,
        )
    op.drop_column("document", "newer", schema="queue")
    op.alter_column(
        "document",
        "base_bson",
        new_column_name="bson",
        comment="the document, exactly; without _id",
        existing_comment="as last written whole, exactly; without _id",
        schema="queue",
    )


def _read(newer: dict[str, Any]) -> dict[str, Any]:
    """What the JSON stands for: of a date, its milliseconds."""
    return {
        name: datetime.fromtimestamp(value["$date"] / 1000, UTC)
        if isinstance(value, dict) and "$date" in value
        else value
        for name, value in newer.items()
    }
