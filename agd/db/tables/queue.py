"""The queue of FireWorks: documents of mongo-like collections, in a schema of their own."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from agd.db.tables import metadata

SCHEMA = "queue"
SCALAR_FIELDS = ("files_id", "fw_id", "launch_id")
"""Indexed fields that hold no list, as `state` holds none."""

LIST_FIELDS = ("launches", "nodes")
"""Indexed fields that may hold a list."""

collection = Table(
    "collection",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("database", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("is_created", Boolean, nullable=False, server_default=false(), comment="even when empty"),
    Column("indexes", JSONB, nullable=False, server_default="{}", comment="as declared; unique ones are kept"),
    Column("version", BigInteger, nullable=False, server_default="0", comment="of the indexes"),
    UniqueConstraint("database", "name"),
    schema=SCHEMA,
)

document = Table(
    "document",
    metadata,
    Column("collection_id", BigInteger, ForeignKey("queue.collection.id"), primary_key=True),
    Column("id_key", Text, primary_key=True, comment="_id as canonical JSON"),
    Column("position", BigInteger, Identity(always=True), nullable=False, comment="natural order"),
    Column("revision", BigInteger, nullable=False, server_default="0", comment="grows with each write"),
    Column("body", JSONB, nullable=False, comment="what filters see; without _id"),
    Column("base_bson", LargeBinary, nullable=False, comment="as last written whole, exactly; without _id"),
    Column("newer", JSONB, comment="fields that SQL has set since: they go over base_bson, and are in body"),
    *(
        CheckConstraint(f"jsonb_typeof(body -> '{field}') IS DISTINCT FROM 'array'", name=f"{field}_is_no_list")
        for field in ("state", *SCALAR_FIELDS)
    ),
    UniqueConstraint("collection_id", "position"),
    *(
        Index(
            f"ix_document_{field}",
            "collection_id",
            text(f"(body -> '{field}')"),
            postgresql_where=text(f"body -> '{field}' IS NOT NULL"),
        )
        for field in SCALAR_FIELDS
    ),
    *(
        Index(
            f"ix_document_{field}",
            text(f"(body -> '{field}')"),
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
            postgresql_where=text(f"body -> '{field}' IS NOT NULL"),
        )
        for field in LIST_FIELDS
    ),
    Index(
        "ix_document_checkout",
        "collection_id",
        text("(body -> 'state')"),
        text("queue.priority(body) DESC"),
        "position",
        postgresql_where=text("body -> 'state' IS NOT NULL"),
    ),
    schema=SCHEMA,
)

unique_key = Table(
    "unique_key",
    metadata,
    Column("collection_id", BigInteger, primary_key=True),
    Column("index_name", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="the indexed values as canonical JSON, or its sha256"),
    Column("id_key", Text, nullable=False),
    ForeignKeyConstraint(
        ["collection_id", "id_key"], ["queue.document.collection_id", "queue.document.id_key"], ondelete="CASCADE"
    ),
    Index("ix_unique_key_document", "collection_id", "id_key"),
    schema=SCHEMA,
)
