"""Points of a search: what was suggested, and what became of it."""

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from agd.db.tables.columns import made_by, metadata, ref, row_id

latent = Table(
    "latent",
    metadata,
    row_id(),
    ref("model_version_id", "model_version.id"),
    Column(
        "composition_id",
        BigInteger,
        ForeignKey("composition.id"),
        comment="what was encoded; NULL for a proposed point",
    ),
    Column("vector", ARRAY(REAL, dimensions=1), nullable=False),
    made_by(),
    CheckConstraint("array_ndims(vector) = 1 AND array_position(vector, NULL) IS NULL", name="vector_is_whole"),
    UniqueConstraint("model_version_id", "composition_id"),
    Index("ix_latent_composition", "composition_id", postgresql_where=text("composition_id IS NOT NULL")),
)

suggestion = Table(
    "suggestion",
    metadata,
    row_id(),
    Column("campaign_id", BigInteger, nullable=False),
    Column("iteration_id", BigInteger, nullable=False),
    Column("rank", Integer, CheckConstraint("rank > 0", name="rank_is_positive"), nullable=False),
    Column("proposed", Text, nullable=False, comment="what the sampler proposed: a latent point or a composition"),
    Column(
        "latent_id",
        BigInteger,
        ForeignKey("latent.id"),
        comment="the point that was proposed, or that encodes the composition; NULL where nothing was encoded",
    ),
    Column("posterior_mean", Double, comment="in units of the objective, NULL where the sampler has none"),
    Column("posterior_sd", Double),
    Column("acquisition", Double),
    made_by(),
    Column("outcome", Text, comment="NULL until decoded"),
    Column("reason", Text, comment="why it was rejected or not answered"),
    ref("composition_id", "composition.id", nullable=True),
    Column("decode_activity_id", BigInteger, ForeignKey("activity.id")),
    Column("label_id", BigInteger),
    Column("label_activity_id", BigInteger, ForeignKey("activity.id")),
    ForeignKeyConstraint(["iteration_id", "campaign_id"], ["iteration.id", "iteration.campaign_id"]),
    ForeignKeyConstraint(["label_id", "composition_id"], ["label.id", "label.composition_id"]),
    UniqueConstraint("iteration_id", "rank"),
    UniqueConstraint("id", "composition_id"),
    CheckConstraint("proposed IN ('latent', 'composition')", name="proposed_is_known"),
    CheckConstraint("proposed = 'composition' OR latent_id IS NOT NULL", name="point_is_latent"),
    CheckConstraint(
        "outcome IN ('new', 'duplicate', 'known', 'undecodable', 'rejected', 'unanswered')", name="outcome_is_known"
    ),
    CheckConstraint("(outcome IS NULL) = (decode_activity_id IS NULL)", name="outcome_has_activity"),
    CheckConstraint(
        "outcome IS NULL OR (outcome = 'undecodable') = (composition_id IS NULL)", name="decoded_has_composition"
    ),
    CheckConstraint(
        "label_id IS NULL OR (label_activity_id IS NOT NULL AND outcome IN ('new', 'duplicate', 'known'))",
        name="label_has_activity",
    ),
    CheckConstraint("(outcome IN ('rejected', 'unanswered')) = (reason IS NOT NULL)", name="refusal_has_reason"),
    # A campaign asks for a composition once, and pays once.
    Index(
        "uq_suggestion_new_once", "campaign_id", "composition_id", unique=True, postgresql_where=text("outcome = 'new'")
    ),
    Index("ix_suggestion_campaign", "campaign_id"),
    Index("ix_suggestion_composition", "composition_id"),
    Index("ix_suggestion_label", "label_id"),
)

suggestion_parent = Table(
    "suggestion_parent",
    metadata,
    ref("suggestion_id", "suggestion.id", primary_key=True),
    ref("composition_id", "composition.id", primary_key=True),
    Column(
        "operator",
        Text,
        CheckConstraint("operator <> ''", name="operator_is_named"),
        nullable=False,
        comment="how the suggestion was made from this composition",
    ),
    made_by(),
    Index("ix_suggestion_parent_composition", "composition_id"),
)

suggestion_label = Table(
    "suggestion_label",
    metadata,
    Column("suggestion_id", BigInteger, primary_key=True),
    Column(
        "position",
        Integer,
        CheckConstraint("position BETWEEN 2 AND 4", name="position_is_further"),
        primary_key=True,
        autoincrement=False,
        comment="of the property; the first label is the row's own",
    ),
    Column("label_id", BigInteger, nullable=False),
    Column("composition_id", BigInteger, nullable=False),
    made_by(),
    ForeignKeyConstraint(["suggestion_id", "composition_id"], ["suggestion.id", "suggestion.composition_id"]),
    ForeignKeyConstraint(["label_id", "composition_id"], ["label.id", "label.composition_id"]),
    Index("ix_suggestion_label_label", "label_id"),
)

suggestion_expectation = Table(
    "suggestion_expectation",
    metadata,
    ref("suggestion_id", "suggestion.id", primary_key=True),
    Column(
        "position",
        Integer,
        CheckConstraint("position BETWEEN 1 AND 4", name="position_is_one"),
        primary_key=True,
        autoincrement=False,
        comment="of the property among the campaign's targets",
    ),
    Column("mean", Double, nullable=False, comment="what the sampler expected, in the property's unit"),
    Column("sd", Double, nullable=False),
    made_by(),
)

decode_failure = Table(
    "decode_failure",
    metadata,
    ref("suggestion_id", "suggestion.id", primary_key=True),
    Column("reason", Text, nullable=False),
    made_by(),
)

given_up = Table(
    "given_up",
    metadata,
    ref("suggestion_id", "suggestion.id", primary_key=True),
    Column("reason", Text, CheckConstraint("reason <> ''", name="reason_is_given"), nullable=False),
    made_by(),
)
