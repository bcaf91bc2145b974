"""The queue of FireWorks: documents of mongo-like collections, in a schema of their own.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Mongo's order of `spec._priority`: what is missing below all numbers, infinite where only Python can order.
PRIORITY = """
CREATE FUNCTION queue.priority(body jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN jsonb_typeof(body -> 'spec') = 'array' THEN 'Infinity'::numeric
            WHEN coalesce(body #> '{spec,_priority}', 'null') = 'null' THEN '-Infinity'::numeric
            WHEN jsonb_typeof(body #> '{spec,_priority}') = 'number' THEN (body #>> '{spec,_priority}')::numeric
            ELSE 'Infinity'::numeric END
$$
"""
SCALARS = ("files_id", "fw_id", "launch_id")
LISTS = ("launches", "nodes")
JSONB = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.execute("CREATE SCHEMA queue")
    op.execute(PRIORITY)
    op.create_table(
        "collection",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_created", sa.Boolean(), server_default=sa.false(), nullable=False, comment="even when empty"),
        sa.Column("indexes", JSONB, server_default="{}", nullable=False, comment="as declared; unique ones are kept"),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False, comment="of the indexes"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection")),
        sa.UniqueConstraint("database", "name", name=op.f("uq_collection_database_name")),
        schema="queue",
    )
    op.create_table(
        "document",
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("id_key", sa.Text(), nullable=False, comment="_id as canonical JSON"),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="natural order"),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False, comment="grows with each write"),
        sa.Column("body", JSONB, nullable=False, comment="what filters see; without _id"),
        sa.Column("bson", sa.LargeBinary(), nullable=False, comment="the document, exactly; without _id"),
        *(
            # One index entry per row: that is exact where the field never holds a list.
            sa.CheckConstraint(
                f"jsonb_typeof(body -> '{field}') IS DISTINCT FROM 'array'",
                name=op.f(f"ck_document_{field}_is_no_list"),
            )
            for field in ("state", *SCALARS)
        ),
        sa.ForeignKeyConstraint(["collection_id"], ["queue.collection.id"], name=op.f("fk_document_collection_id")),
        sa.PrimaryKeyConstraint("collection_id", "id_key", name=op.f("pk_document")),
        sa.UniqueConstraint("collection_id", "position", name=op.f("uq_document_collection_id_position")),
        schema="queue",
    )
    op.execute("ALTER TABLE queue.document SET (toast_tuple_target = 8160)")  # whole documents in the row
    for field in SCALARS:
        op.create_index(
            f"ix_document_{field}",
            "document",
            ["collection_id", sa.text(f"(body -> '{field}')")],
            schema="queue",
            postgresql_where=sa.text(f"body -> '{field}' IS NOT NULL"),
        )
    for field in LISTS:
        op.create_index(
            f"ix_document_{field}",
            "document",
            [sa.text(f"(body -> '{field}')")],
            schema="queue",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
            postgresql_where=sa.text(f"body -> '{field}' IS NOT NULL"),
        )
    op.create_index(
        "ix_document_checkout",
        "document",
        ["collection_id", sa.text("(body -> 'state')"), sa.text("queue.priority(body) DESC"), "position"],
        schema="queue",
        postgresql_where=sa.text("body -> 'state' IS NOT NULL"),
    )
    op.create_table(
        "unique_key",
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("index_name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the indexed values as canonical JSON, or its sha256"),
        sa.Column("id_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id", "id_key"],
            ["queue.document.collection_id", "queue.document.id_key"],
            name=op.f("fk_unique_key_collection_id_id_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("collection_id", "index_name", "key", name=op.f("pk_unique_key")),
        schema="queue",
    )
    op.create_index("ix_unique_key_document", "unique_key", ["collection_id", "id_key"], schema="queue")


def downgrade() -> None:
    for table in ("unique_key", "document", "collection"):
        op.drop_table(table, schema="queue")
    op.execute("DROP FUNCTION queue.priority(jsonb)")
    op.execute("DROP SCHEMA queue")
