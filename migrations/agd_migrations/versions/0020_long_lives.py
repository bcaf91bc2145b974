"""Campaigns live long: what is said of them and done to them are rows; properties of one's own; compositions in SQL.

Revision ID: 0020
Revises: 0019
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")

V_CAMPAIGN_ABOUT = """
CREATE OR REPLACE VIEW v_campaign_about AS
SELECT k.id AS campaign_id, k.name AS campaign,
       array(SELECT t.value FROM (SELECT DISTINCT ON (e.value) e.value, e.kind FROM campaign_event e
                                  WHERE e.campaign_id = k.id AND e.kind IN ('tag', 'untag')
                                  ORDER BY e.value, e.id DESC) t
             WHERE t.kind = 'tag' ORDER BY t.value COLLATE "C") AS tags,
       coalesce((SELECT e.kind = 'archive' FROM campaign_event e
                 WHERE e.campaign_id = k.id AND e.kind IN ('archive', 'unarchive') ORDER BY e.id DESC LIMIT 1), false)
           AS is_archived,
       (SELECT e.value FROM campaign_event e WHERE e.campaign_id = k.id AND e.kind = 'note' ORDER BY e.id DESC LIMIT 1)
           AS last_note,
       (SELECT count(*) FROM campaign_event e WHERE e.campaign_id = k.id AND e.kind = 'note') AS n_notes,
       array(SELECT e.value FROM campaign_event e WHERE e.campaign_id = k.id AND e.kind = 'rename' ORDER BY e.id)
           AS former_names
FROM campaign k
"""

COMMENTS = {
    "campaign": "its name today",
    "tags": "those that stand, in order",
    "is_archived": "left out of `agd list` without --archived; nothing else changes",
    "last_note": "the newest of its notes, NULL where there is none",
    "n_notes": "how many notes it has",
    "former_names": "names it had before, the first one first",
}

ELEMENTS = r"""
CREATE OR REPLACE FUNCTION agd_elements(formula text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT string_to_array(
    ltrim(regexp_replace(regexp_replace($1, '[^A-Za-z]+', '', 'g'), '([A-Z])', ',\1', 'g'), ','), ',')
$$
"""

HAS = """
CREATE OR REPLACE FUNCTION agd_has(formula text, element text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT agd_elements($1) @> ARRAY[$2]
$$
"""

FRACTION = r"""
CREATE OR REPLACE FUNCTION agd_fraction(formula text, element text) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT coalesce(sum(a.n) FILTER (WHERE a.of = $2), 0)::float8 / sum(a.n)::float8
FROM (SELECT substring(one FROM '^[A-Z][a-z]?') AS of, coalesce(substring(one FROM '\d+'), '1')::bigint AS n
      FROM unnest(agd_amounts($1)) AS one) a
$$
"""

SYSTEM = """
CREATE OR REPLACE FUNCTION agd_system(formula text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT string_agg(DISTINCT e COLLATE "C", '-' ORDER BY e COLLATE "C") FROM unnest(agd_elements($1)) AS e
$$
"""

SYSTEM_OF_ROW = """
CREATE OR REPLACE FUNCTION agd_system(of composition) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT ($1).chemical_system
$$
"""

ANONYMOUS = r"""
CREATE OR REPLACE FUNCTION agd_anonymous(formula text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
WITH amount AS (
    SELECT sum(coalesce(substring(a FROM '\d+'), '1')::bigint)::bigint AS n
    FROM unnest(agd_amounts($1)) AS a GROUP BY substring(a FROM '^[A-Z][a-z]?')
),
ranked AS (SELECT n, row_number() OVER (ORDER BY n)::integer AS place FROM amount),
divisor AS (
    SELECT max(d) AS d FROM generate_series(1, (SELECT min(n) FROM amount)) AS d
    WHERE NOT EXISTS (SELECT FROM amount WHERE n % d <> 0)
)
SELECT string_agg(chr(64 + place) || coalesce(nullif(n / d, 1)::text, ''), '' ORDER BY place) FROM ranked, divisor
$$
"""

LIKE = """
CREATE OR REPLACE FUNCTION agd_like(formula text, prototype text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT agd_anonymous($1) = agd_anonymous($2)
$$
"""

LIKE_OF_ROW = """
CREATE OR REPLACE FUNCTION agd_like(of composition, prototype text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT ($1).anonymous_formula = agd_anonymous($2)
$$
"""

FUNCTIONS = (ELEMENTS, HAS, FRACTION, SYSTEM, SYSTEM_OF_ROW, ANONYMOUS, LIKE, LIKE_OF_ROW)

KEPT = {
    "campaign_event": "notes, tags and earlier names of campaigns",
    "campaign_removal": "campaigns that were deleted",
    "property WHERE activity_id IS NOT NULL": "properties of your own",
}


def upgrade() -> None:
    _create_tables()
    op.add_column(
        "property",
        sa.Column("activity_id", sa.BigInteger(), nullable=True, comment="NULL for those that come with the schema"),
    )
    op.create_foreign_key(op.f("fk_property_activity_id"), "property", "activity", ["activity_id"], ["id"])
    _defend_anew("property")
    for table in ("campaign_event", "campaign_removal"):
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        _DEFENCE._defend("defend_rows", "DELETE", table)  # noqa: SLF001  as every table of the record
        _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
    op.execute(V_CAMPAIGN_ABOUT)
    for column, words in COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN v_campaign_about.{column} IS '{words}'")
    for function in FUNCTIONS:
        op.execute(function)
    op.create_index(
        "ix_composition_elements", "composition", [sa.text("agd_elements(reduced_formula)")], postgresql_using="gin"
    )


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(
                f"revision {down_revision} has no place for {what}, and the record has some: nothing was changed"
            )
    op.drop_index("ix_composition_elements", "composition")
    for function in (
        *("agd_like(composition, text)", "agd_like(text, text)", "agd_anonymous(text)", "agd_system(composition)"),
        *("agd_system(text)", "agd_fraction(text, text)", "agd_has(text, text)", "agd_elements(text)"),
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP VIEW v_campaign_about")
    op.execute("DROP TRIGGER defend_values ON property")
    op.drop_column("property", "activity_id")
    _DEFENCE._defend_values("defend_values", "property")  # noqa: SLF001
    op.drop_table("campaign_removal")
    op.drop_table("campaign_event")


def _create_tables() -> None:
    op.create_table(
        "campaign_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "value", sa.Text(), nullable=True, comment="the note, the tag, or the name that it had until it was renamed"
        ),
        sa.Column("operator", sa.Text(), nullable=False, comment="who said so"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('note', 'tag', 'untag', 'archive', 'unarchive', 'rename')",
            name=op.f("ck_campaign_event_kind_is_known"),
        ),
        sa.CheckConstraint(
            "(kind IN ('archive', 'unarchive')) = (value IS NULL)", name=op.f("ck_campaign_event_says_something")
        ),
        sa.CheckConstraint("value <> ''", name=op.f("ck_campaign_event_value_is_given")),
        sa.CheckConstraint("operator <> ''", name=op.f("ck_campaign_event_operator_is_named")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_event_campaign_id")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_event_activity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_event")),
    )
    op.create_index("ix_campaign_event_campaign", "campaign_event", ["campaign_id"])
    op.create_table(
        "campaign_removal",
        sa.Column("removal_id", sa.BigInteger(), nullable=False, comment="why and when, and by which role"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False, comment="who deleted it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spec_text", sa.Text(), nullable=False, comment="the TOML file as it was given"),
        sa.Column("search_sha256", sa.Text(), nullable=True, comment="the content hash of its search"),
        sa.Column("n_suggestions", sa.BigInteger(), nullable=False),
        sa.Column("n_latents", sa.BigInteger(), nullable=False),
        sa.Column("n_activities", sa.BigInteger(), nullable=False),
        sa.Column("n_screenings", sa.BigInteger(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("operator <> ''", name=op.f("ck_campaign_removal_operator_is_named")),
        sa.ForeignKeyConstraint(["removal_id"], ["removal.id"], name=op.f("fk_campaign_removal_removal_id")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_removal_activity_id")),
        sa.PrimaryKeyConstraint("removal_id", name=op.f("pk_campaign_removal")),
    )


def _defend_anew(table: str) -> None:
    """The defence knows the columns that were there when it was made."""
    op.execute(f"DROP TRIGGER defend_values ON {table}")
    _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001
