"""Screenings of a pool and their hits."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from agd.db.tables.columns import finite, made_by, metadata, ref, row_id

screening = Table(
    "screening",
    metadata,
    row_id(),
    Column(
        "campaign_id",
        BigInteger,
        ForeignKey("campaign.id"),
        comment="for whom, NULL where a model was asked for by itself",
    ),
    Column(
        "role",
        Text,
        nullable=False,
        comment="baseline: initial labels; al: initial labels and the campaign's; model: whatever it was trained on",
    ),
    ref("model_version_id", "model_version.id"),
    Column("dataset_id", BigInteger, ForeignKey("dataset.id"), comment="NULL where the pool is a file"),
    Column("source", Text, nullable=False, comment="name of the dataset or of the file"),
    Column("source_sha256", Text, nullable=False),
    Column("criteria", JSONB, nullable=False),
    Column("recipe_sha256", Text, nullable=False, unique=True, comment="of pool, criteria, role and model"),
    made_by(),
    CheckConstraint("role IN ('baseline', 'al', 'model')", name="role_is_known"),
    CheckConstraint("campaign_id IS NOT NULL OR role = 'model'", name="screener_has_campaign"),
    UniqueConstraint("activity_id", "role"),
    Index("ix_screening_campaign", "campaign_id"),
)

screening_hit = Table(
    "screening_hit",
    metadata,
    ref("screening_id", "screening.id", primary_key=True),
    Column("rank", Integer, CheckConstraint("rank > 0", name="rank_is_positive"), primary_key=True),
    ref("composition_id", "composition.id"),
    Column("line", Integer, nullable=False, comment="of the pool"),
    Column("formula", Text, nullable=False, comment="as the pool spells it"),
    Column("value", Double, nullable=False, comment="the screener's prediction: an opinion, not a label"),
    Column("uncertainty", Double, nullable=False),
    finite("value"),
    UniqueConstraint("screening_id", "composition_id"),
    Index("ix_screening_hit_composition", "composition_id"),
)
