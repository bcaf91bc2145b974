"""The record defends itself: rows stay, values stay, and what came after a suggestion is a row of its own.

Revision ID: 0006
Revises: 0005
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SPINE = import_module("agd_migrations.versions.0001_spine")
_COMPLETED = import_module("agd_migrations.versions.0002_campaign_completed")
_GENERATIONS = import_module("agd_migrations.versions.0005_generations")

# Every suggestion as it stands: the table's columns, with what came after decoding and labelling taken into account.
V_SUGGESTION_STATE = """
CREATE VIEW v_suggestion_state AS
SELECT s.id AS suggestion_id, s.campaign_id, s.iteration_id, s.rank, s.proposed, s.latent_id,
       s.posterior_mean, s.posterior_sd, s.acquisition, s.activity_id,
       CASE WHEN g.suggestion_id IS NULL THEN s.outcome ELSE 'unanswered' END AS outcome,
       coalesce(g.reason, s.reason) AS reason,
       s.composition_id, s.decode_activity_id,
       coalesce(r.label_id, s.label_id) AS label_id,
       coalesce(r.activity_id, s.label_activity_id) AS label_activity_id
FROM suggestion s
LEFT JOIN given_up g ON g.suggestion_id = s.id
LEFT JOIN (SELECT DISTINCT ON (suggestion_id) suggestion_id, label_id, activity_id
           FROM label_replacement ORDER BY suggestion_id, number DESC) r ON r.suggestion_id = s.id
"""

V_SUGGESTION = """
CREATE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, l.value, l.uncertainty, p.unit,
       (l.value >= coalesce(k.target_low, '-Infinity') AND l.value <= coalesce(k.target_high, 'Infinity')
        AND x.label_id IS NULL) AS is_find,
       x.label_id IS NOT NULL AS is_retracted,
       (s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id
FROM v_suggestion_state s
JOIN campaign k ON k.id = s.campaign_id
JOIN property p ON p.name = k.property
JOIN iteration i ON i.id = s.iteration_id
JOIN activity a ON a.id = s.activity_id
JOIN latent z ON z.id = s.latent_id
JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
"""

V_LINEAGE = f"""{_GENERATIONS.V_LINEAGE.rstrip()}
UNION ALL SELECT 'suggestion', suggestion_id, 'labelled anew', 'label', label_id FROM label_replacement
"""

V_ITERATION = """
CREATE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,
       count(s.suggestion_id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS n_charged,
       count(*) FILTER (WHERE s.outcome = 'new' AND v.is_find) AS n_finds,
       max(l.value) FILTER (WHERE s.outcome = 'new' AND x.label_id IS NULL) AS highest,
       min(l.value) FILTER (WHERE s.outcome = 'new' AND x.label_id IS NULL) AS lowest,
       EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN v_suggestion_state s ON s.iteration_id = i.id AND s.campaign_id = i.campaign_id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
LEFT JOIN LATERAL (SELECT l.value >= coalesce(k.target_low, '-Infinity')
                      AND l.value <= coalesce(k.target_high, 'Infinity')
                      AND x.label_id IS NULL AS is_find) v ON true
GROUP BY k.id, i.id
"""

# A label that was replaced since keeps the iteration in which the model got it.
V_TRAINING_LABEL = _GENERATIONS.V_TRAINING_LABEL.replace(
    """FROM suggestion s
    JOIN training_set_campaign""",
    """FROM (
        SELECT id FROM suggestion WHERE label_id = l.id
        UNION ALL SELECT suggestion_id FROM label_replacement WHERE label_id = l.id
    ) used
    JOIN suggestion s ON s.id = used.id
    JOIN training_set_campaign""",
).replace("WHERE s.label_id = l.id AND s.outcome", "WHERE s.outcome")

BEFORE = {
    "v_suggestion": _COMPLETED.V_SUGGESTION,
    "v_lineage": _GENERATIONS.V_LINEAGE,
    "v_iteration": _COMPLETED.V_ITERATION,
    "v_training_label": _GENERATIONS.V_TRAINING_LABEL,
    "agd_content_hash_v1": _SPINE.CONTENT_HASH,
    "agd_content_hash_v2": _COMPLETED.CONTENT_HASH,
}

# Inside the hash functions the name of the table means what the view says: their text is else what it was.
_CAMPAIGN = "WITH k AS (SELECT * FROM campaign WHERE name = campaign_name),\n"
_STATE = """suggestion AS (
    SELECT e.*, e.suggestion_id AS id FROM v_suggestion_state e WHERE e.campaign_id = (SELECT id FROM k)
),
"""

CHANGED = {
    "v_suggestion": V_SUGGESTION,
    "v_lineage": V_LINEAGE,
    "v_iteration": V_ITERATION,
    "v_training_label": V_TRAINING_LABEL,
    **{
        name: BEFORE[name].replace(_CAMPAIGN, _CAMPAIGN + _STATE)
        for name in ("agd_content_hash_v1", "agd_content_hash_v2")
    },
}

OPEN_REMOVAL = """
CREATE FUNCTION agd_open_removal(reason text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    opened bigint;
BEGIN
    INSERT INTO removal (reason) VALUES (reason) RETURNING id INTO opened;
    PERFORM set_config('agd.removal', opened::text, true);
    RETURN opened;
END
$$
"""

# Arguments of the trigger, each a list with spaces between: columns that are filled later, columns that may change.
# Values are compared by their bytes: -0 is not 0, and no setting of the session has a say.
DEFEND = """
CREATE FUNCTION agd_defend() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    filled constant text[] := string_to_array(TG_ARGV[0], ' ');
    free constant text[] := string_to_array(TG_ARGV[1], ' ');
    comparison text;
    changed text;
    is_open boolean;
    key text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT format('SELECT CASE %s END', string_agg(format(
                   'WHEN %s record_image_ne(ROW(($1).%I), ROW(($2).%I)) THEN %L',
                   CASE WHEN attname = ANY (filled) THEN format('($1).%I IS NOT NULL AND', attname) END,
                   attname, attname, attname), ' ' ORDER BY attnum))
        INTO comparison
        FROM pg_attribute
        WHERE attrelid = TG_RELID AND attnum > 0 AND NOT attisdropped AND attname <> ALL (free);
        EXECUTE comparison INTO changed USING OLD, NEW;
        IF changed IS NULL THEN
            RETURN NEW;
        END IF;
    END IF;

    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %I.removal WHERE id::text = current_setting(''agd.removal'', true)'
        ' AND transaction = pg_current_xact_id()::text)', TG_TABLE_SCHEMA)
    INTO is_open;
    IF is_open THEN
        IF TG_OP = 'UPDATE' THEN RETURN NEW; END IF;
        RETURN OLD;
    END IF;

    IF TG_OP <> 'TRUNCATE' THEN
        SELECT string_agg(to_jsonb(OLD) ->> a.attname, ', ' ORDER BY array_position(i.indkey::int[], a.attnum::int))
        INTO key
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = TG_RELID AND i.indisprimary;
    END IF;
    RAISE EXCEPTION '% %: %; %', TG_TABLE_NAME, coalesce(key, '(every row)'),
        CASE TG_OP WHEN 'UPDATE' THEN changed || ' was recorded and stays as it is'
                   ELSE 'what was recorded is not removed' END,
        CASE TG_TABLE_NAME
            WHEN 'label' THEN format('withdraw a label by a row: `agd label retract %s`', coalesce(key, 'ID'))
            WHEN 'suggestion' THEN 'an answer given up or told anew is a row: `agd tell`'
            ELSE 'what is wrong is said by a row (of a label: `agd label retract`)' END
        USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
              COLUMN = coalesce(changed, '');
END
$$
"""

# Both sides lock the suggestion first, so that an answer and its being given up never cross.
GIVING_UP = """
CREATE FUNCTION agd_giving_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked bigint;
    is_refused boolean;
BEGIN
    IF TG_TABLE_NAME = 'given_up' THEN
        asked := NEW.suggestion_id;
        EXECUTE format('SELECT outcome IS DISTINCT FROM ''new'' OR label_id IS NOT NULL FROM %I.suggestion'
                       ' WHERE id = $1 FOR NO KEY UPDATE', TG_TABLE_SCHEMA)
        INTO is_refused USING asked;
    ELSE
        asked := NEW.id;
        EXECUTE format('SELECT EXISTS (SELECT FROM %I.given_up WHERE suggestion_id = $1)', TG_TABLE_SCHEMA)
        INTO is_refused USING asked;
    END IF;
    IF is_refused THEN
        RAISE EXCEPTION 'suggestion %: only what waits for an answer is given up, and then it gets none', asked
            USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'given_up_waits';
    END IF;
    RETURN NEW;
END
$$
"""

# Columns by table: what is filled in later, and what says how a campaign stands. Activities have a rule of their own.
FILLED = {
    "suggestion": "outcome reason composition_id decode_activity_id label_id label_activity_id",
    "campaign": "ended_at end_reason",
}
FREE = {"campaign": "stop_requested_at engine retries_from parked_reason"}

DEFENDED = (
    *("property", "campaign", "iteration", "dataset", "composition", "dataset_row", "dataset_reject"),
    *("verdict_rule", "verdict", "training_set", "training_set_member", "training_set_source"),
    *("training_set_campaign", "artifact", "model_version", "generation", "generation_stage", "evaluation"),
    *("campaign_pool", "campaign_set", "campaign_model", "measurement", "label", "retraction", "latent", "suggestion"),
    *("decode_failure", "screening", "screening_stage", "screening_hit"),
    *("given_up", "label_replacement", "removal"),
)

# In the order of their making; dropped from the last to the first.
TABLES = ("given_up", "label_replacement", "removal")

KEPT = {
    "given_up": "answers that were given up",
    "label_replacement": "labels that replaced retracted ones",
    "removal": "removals",
}


def upgrade() -> None:
    op.create_unique_constraint(op.f("uq_suggestion_id_composition_id"), "suggestion", ["id", "composition_id"])
    op.create_index("ix_suggestion_campaign", "suggestion", ["campaign_id"])
    _create_tables()
    op.execute(V_SUGGESTION_STATE)
    for text in CHANGED.values():
        op.execute(_replacing(text))
    for function in (OPEN_REMOVAL, DEFEND, GIVING_UP):
        op.execute(function)
    for table in (*DEFENDED, "activity"):
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        _defend("defend_rows", "DELETE", table)
    for table in DEFENDED:
        _defend_values("defend_values", table, filled=FILLED.get(table, ""), free=FREE.get(table, ""))
    # A running activity ends once, renews its lease and may be taken over by the process that computes; then it stands.
    running = {
        "filled": "ended_at error error_class",
        "free": "outcome lease_expires_at agd_version git_commit host cpu pid",
    }
    _defend_values("defend_running", "activity", **running, when="OLD.outcome = 'running'")
    _defend_values("defend_ended", "activity", when="OLD.outcome <> 'running'")
    op.execute("CREATE TRIGGER given_up_waits BEFORE INSERT ON given_up FOR EACH ROW EXECUTE FUNCTION agd_giving_up()")
    op.execute(
        "CREATE TRIGGER given_up_waits BEFORE UPDATE ON suggestion FOR EACH ROW"
        " WHEN (OLD.label_id IS NULL AND NEW.label_id IS NOT NULL) EXECUTE FUNCTION agd_giving_up()"
    )


def downgrade() -> None:
    """Go back; refused where that would lose what revision 0005 cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(f"revision 0005 has no place for {what}, and the record has some: nothing was changed")
    for function in ("agd_giving_up()", "agd_defend()"):
        op.execute(f"DROP FUNCTION {function} CASCADE")  # with the triggers that call it
    op.execute("DROP FUNCTION agd_open_removal(text)")
    for text in BEFORE.values():
        op.execute(_replacing(text))
    op.execute("DROP VIEW v_suggestion_state")
    for name in reversed(TABLES):
        op.drop_table(name)
    op.drop_index("ix_suggestion_campaign", "suggestion")
    op.drop_constraint(op.f("uq_suggestion_id_composition_id"), "suggestion")


def _replacing(text: str) -> str:
    """A view or function takes the place of the one of its name, whose columns it keeps."""
    return text.replace("CREATE ", "CREATE OR REPLACE ", 1)


def _defend(name: str, event: str, table: str, condition: str = "", arguments: str = "") -> None:
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {condition}"
        f" EXECUTE FUNCTION agd_defend({arguments})"
    )


def _defend_values(name: str, table: str, *, filled: str = "", free: str = "", when: str = "true") -> None:
    """The condition spares the steps the function, which is called for what it will refuse alone."""
    columns = [column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)]
    changed = " OR ".join(
        (f"OLD.{column} IS NOT NULL AND " if column in filled.split() else "")
        + f"record_image_ne(ROW(OLD.{column}), ROW(NEW.{column}))"
        for column in columns
        if column not in free.split()
    )
    _defend(name, "UPDATE", table, f"WHEN ({when} AND ({changed}))", f"'{filled}', '{free}'")


def _create_tables() -> None:
    op.create_table(
        "given_up",
        sa.Column("suggestion_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_given_up_reason_is_given")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_given_up_activity_id")),
        sa.ForeignKeyConstraint(["suggestion_id"], ["suggestion.id"], name=op.f("fk_given_up_suggestion_id")),
        sa.PrimaryKeyConstraint("suggestion_id", name=op.f("pk_given_up")),
    )
    op.create_table(
        "label_replacement",
        sa.Column("suggestion_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="the highest one holds"),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_label_replacement_number_is_positive")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_label_replacement_activity_id")),
        sa.ForeignKeyConstraint(
            ["label_id", "composition_id"],
            ["label.id", "label.composition_id"],
            name=op.f("fk_label_replacement_label_id_composition_id"),
        ),
        sa.ForeignKeyConstraint(
            ["suggestion_id", "composition_id"],
            ["suggestion.id", "suggestion.composition_id"],
            name=op.f("fk_label_replacement_suggestion_id_composition_id"),
        ),
        sa.PrimaryKeyConstraint("suggestion_id", "number", name=op.f("pk_label_replacement")),
        sa.UniqueConstraint("suggestion_id", "label_id", name=op.f("uq_label_replacement_suggestion_id_label_id")),
    )
    op.create_index("ix_label_replacement_label", "label_replacement", ["label_id"])
    op.create_table(
        "removal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default=sa.text("session_user"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column(
            "transaction",
            sa.Text(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
            comment="the only one that may remove or change rows for this reason",
        ),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_removal_reason_is_given")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removal")),
    )
