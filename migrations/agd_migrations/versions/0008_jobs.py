"""A job is what is due, an activity is one attempt at it, and a campaign's step is one kind of job.

What is left at each stage of a generation or a screening is counted in one table.

Revision ID: 0008
Revises: 0007
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LEASES = import_module("agd_migrations.versions.0004_leases")
_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_HASHES = import_module("agd_migrations.versions.0007_hashes")

STEP_KEY = """
CREATE FUNCTION agd_step_key(campaign_name text, kind text, iteration integer) RETURNS text LANGUAGE sql STABLE AS $$
SELECT encode(sha256(convert_to(concat_ws(chr(31), 'step', $1, $2, coalesce($3::text, '')), 'UTF8')), 'hex')
$$
"""

V_LEASE = """
CREATE VIEW v_lease AS
SELECT k.name AS campaign, a.kind AS step, i.number AS iteration, a.id AS token, a.host, a.pid, a.fw_id, a.launch_id,
       a.started_at, a.lease_expires_at, a.lease_expires_at < clock_timestamp() AS is_expired,
       a.campaign_id, a.iteration_id, j.title, a.job_id
FROM activity a
JOIN job j ON j.id = a.job_id
LEFT JOIN campaign k ON k.id = a.campaign_id
LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.outcome = 'running'
"""

# Counted is what nobody has forgiven since: of a job by itself, of a campaign's steps also with the whole campaign.
V_ATTEMPT = """
CREATE VIEW v_attempt AS
SELECT k.name AS campaign, a.kind AS step, i.number AS iteration, a.outcome, a.error_class, a.error,
       a.started_at, a.ended_at, a.host, a.pid, a.fw_id, a.launch_id,
       a.started_at >= greatest(j.retries_from, k.retries_from) AS is_counted,
       a.id AS activity_id, a.campaign_id, a.iteration_id, j.title, a.job_id
FROM activity a
JOIN job j ON j.id = a.job_id
LEFT JOIN campaign k ON k.id = a.campaign_id
LEFT JOIN iteration i ON i.id = a.iteration_id
"""

# Of attempts that are forgiven, only n_attempts and the last error know.
V_JOB = """
CREATE VIEW v_job AS
SELECT j.id, j.title, j.kind, k.name AS campaign, j.iteration,
       CASE WHEN at_work.activity_id IS NOT NULL THEN 'running'
            WHEN j.state = 'open' AND EXISTS (SELECT FROM job_after w JOIN job b ON b.id = w.waits_for_id
                                              WHERE w.job_id = j.id AND b.state <> 'done') THEN 'waiting'
            ELSE j.state END AS state,
       j.reason, j.priority, j.n_cores, j.hours, j.programs,
       tried.n_attempts, tried.n_failed, tried.n_lost, final.error AS last_error, final.error_class AS last_error_class,
       at_work.host, at_work.pid, at_work.fw_id, at_work.started_at AS since, at_work.lease_expires_at,
       j.not_before, j.made_at, j.campaign_id, at_work.activity_id
FROM job j
LEFT JOIN campaign k ON k.id = j.campaign_id
LEFT JOIN LATERAL (SELECT count(*) AS n_attempts,
                          count(*) FILTER (WHERE t.is_counted AND t.outcome = 'failed') AS n_failed,
                          count(*) FILTER (WHERE t.is_counted AND t.outcome = 'lost') AS n_lost
                   FROM v_attempt t WHERE t.job_id = j.id) tried ON true
LEFT JOIN LATERAL (SELECT t.error, t.error_class FROM v_attempt t
                   WHERE t.job_id = j.id AND t.outcome = 'failed' ORDER BY t.activity_id DESC LIMIT 1) final ON true
LEFT JOIN LATERAL (SELECT a.id AS activity_id, a.host, a.pid, a.fw_id, a.started_at, a.lease_expires_at FROM activity a
                   WHERE a.job_id = j.id AND a.outcome = 'running') at_work ON true
"""

_OF_SCREENING = "JOIN screening_stage t ON t.screening_id = g.id"
_OF_ACTIVITY = "JOIN stage t ON t.activity_id = g.activity_id AND t.role = g.role"

# Functions that read the counts of a screening, which are the same in their new place.
BEFORE = {
    "agd_content_hash_v2": _DEFENCE.CHANGED["agd_content_hash_v2"],
    "agd_content_hash_v3_with_later": _HASHES.CONTENT_HASH_WITH_LATER,
}
CHANGED = {name: text.replace(_OF_SCREENING, _OF_ACTIVITY) for name, text in BEFORE.items()}

# A step that was begun is a job, done where one of its attempts is.
JOBS_OF_STEPS = """
INSERT INTO job (kind, title, key_sha256, campaign_id, iteration, state, made_at, retries_from)
SELECT a.kind, concat(k.name, ': ', a.kind, ' ' || i.number), agd_step_key(k.name, a.kind, i.number), k.id, i.number,
       CASE WHEN bool_or(a.outcome = 'done') THEN 'done' ELSE 'open' END, min(a.started_at), min(a.started_at)
FROM activity a
JOIN campaign k ON k.id = a.campaign_id
LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.lease_expires_at IS NOT NULL
GROUP BY k.id, a.kind, i.number ORDER BY min(a.id)
"""

ATTEMPTS_AT_STEPS = """
UPDATE activity a SET job_id = j.id
FROM activity b
LEFT JOIN iteration i ON i.id = b.iteration_id
JOIN job j ON j.campaign_id = b.campaign_id AND j.kind = b.kind AND coalesce(j.iteration, 0) = coalesce(i.number, 0)
WHERE b.id = a.id AND b.lease_expires_at IS NOT NULL
"""

STAGES = """
INSERT INTO stage (activity_id, role, position, name, n_in, n_left)
SELECT d.activity_id, '', t.position, t.name,
       lag(t.n_left, 1, t.n_left) OVER (PARTITION BY t.dataset_id ORDER BY t.position), t.n_left
FROM generation_stage t JOIN dataset d ON d.id = t.dataset_id
UNION ALL
SELECT g.activity_id, g.role, t.position, t.name,
       lag(t.n_left, 1, t.n_left) OVER (PARTITION BY t.screening_id ORDER BY t.position), t.n_left
FROM screening_stage t JOIN screening g ON g.id = t.screening_id
"""

STAGES_OF_GENERATIONS = """
INSERT INTO generation_stage (dataset_id, position, name, n_left)
SELECT g.dataset_id, t.position, t.name, t.n_left
FROM stage t JOIN dataset d ON d.activity_id = t.activity_id JOIN generation g ON g.dataset_id = d.id WHERE t.role = ''
"""

STAGES_OF_SCREENINGS = """
INSERT INTO screening_stage (screening_id, position, name, n_left)
SELECT g.id, t.position, t.name, t.n_left
FROM stage t JOIN screening g ON g.activity_id = t.activity_id AND g.role = t.role
"""

# How a job stands, and what it needs; all else is what it is.
FREE = "state reason priority n_cores hours programs retries_from not_before"

OF_STEPS = "of a campaign's step: until when nobody else may take it"
OF_JOBS = "of an attempt at a job: until when nobody else may take it"

# In the order of their making; dropped from the last to the first.
TABLES = ("job", "job_after", "stage")

KEPT = {
    "job j LEFT JOIN campaign k ON k.id = j.campaign_id"
    " WHERE j.key_sha256 IS DISTINCT FROM agd_step_key(k.name, j.kind, j.iteration)": (
        "jobs other than campaigns' steps"
    ),
    "job WHERE state IN ('held', 'parked', 'cancelled')": "jobs that are held, parked or cancelled",
    "stage t WHERE NOT EXISTS (SELECT FROM generation g JOIN dataset d ON d.id = g.dataset_id"
    " WHERE d.activity_id = t.activity_id AND t.role = '')"
    " AND NOT EXISTS (SELECT FROM screening g WHERE g.activity_id = t.activity_id AND g.role = t.role)": (
        "stages of anything but generations and screenings"
    ),
}


def upgrade() -> None:
    _create_tables()
    op.execute(STEP_KEY)
    op.execute(JOBS_OF_STEPS)
    op.add_column("activity", sa.Column("job_id", sa.BigInteger(), nullable=True, comment="what it is an attempt at"))
    op.execute(ATTEMPTS_AT_STEPS)
    _comment_lease(OF_JOBS, before=OF_STEPS)
    op.create_foreign_key(op.f("fk_activity_job_id_kind"), "activity", "job", ["job_id", "kind"], ["id", "kind"])
    op.create_check_constraint(
        op.f("ck_activity_lease_is_on_a_job"), "activity", "(lease_expires_at IS NULL) = (job_id IS NULL)"
    )
    op.drop_index("uq_activity_step", table_name="activity")
    op.create_index(
        "uq_activity_job",
        "activity",
        ["job_id"],
        unique=True,
        postgresql_where=sa.text("outcome IN ('running', 'done')"),
    )
    op.create_index("ix_activity_job", "activity", ["job_id"], postgresql_where=sa.text("job_id IS NOT NULL"))
    for name in ("v_attempt", "v_lease"):
        op.execute(f"DROP VIEW {name}")
    for view in (V_LEASE, V_ATTEMPT, V_JOB):
        op.execute(view)

    op.execute(STAGES)
    op.create_unique_constraint(op.f("uq_screening_activity_id_role"), "screening", ["activity_id", "role"])
    for text in CHANGED.values():
        op.execute(_replacing(text))
    for name in ("screening_stage", "generation_stage"):
        op.drop_table(name)

    for table in TABLES:
        _defend_table(table)
    _defend_values("job", free=FREE)
    _defend_values("job_after")
    _defend_values("stage")
    op.execute(
        "CREATE TRIGGER defend_done BEFORE UPDATE ON job FOR EACH ROW"
        " WHEN (OLD.state = 'done' AND record_image_ne(ROW(OLD.*), ROW(NEW.*))) EXECUTE FUNCTION agd_defend('', '')"
    )
    op.execute(
        "CREATE TRIGGER defend_job BEFORE UPDATE ON activity FOR EACH ROW"
        " WHEN (record_image_ne(ROW(OLD.job_id), ROW(NEW.job_id))) EXECUTE FUNCTION agd_defend('', '')"
    )


def downgrade() -> None:
    """Go back; refused where that would lose what revision 0007 cannot hold."""
    for rows, what in KEPT.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {rows})")):
            raise RuntimeError(f"revision 0007 has no place for {what}, and the record has some: nothing was changed")
    op.execute("DROP TRIGGER defend_job ON activity")
    _create_stages()
    for statement in (STAGES_OF_GENERATIONS, STAGES_OF_SCREENINGS):
        op.execute(statement)
    for table in ("generation_stage", "screening_stage"):
        _defend_table(table)
        _DEFENCE._defend_values("defend_values", table)  # noqa: SLF001  as that revision made it
    for text in BEFORE.values():
        op.execute(_replacing(text))
    op.drop_constraint(op.f("uq_screening_activity_id_role"), "screening")

    for name in ("v_job", "v_attempt", "v_lease"):
        op.execute(f"DROP VIEW {name}")
    for view in (_LEASES.V_LEASE, _LEASES.V_ATTEMPT):
        op.execute(view)
    for name in ("ix_activity_job", "uq_activity_job"):
        op.drop_index(name, table_name="activity")
    op.create_index(
        "uq_activity_step",
        "activity",
        ["campaign_id", "kind", sa.text("coalesce(iteration_id, 0)")],
        unique=True,
        postgresql_where=sa.text("outcome IN ('running', 'done') AND lease_expires_at IS NOT NULL"),
    )
    _comment_lease(OF_STEPS, before=OF_JOBS)
    op.drop_column("activity", "job_id")  # with its constraints
    for name in reversed(TABLES):
        op.drop_table(name)
    op.execute("DROP FUNCTION agd_step_key(text, text, integer)")


def _comment_lease(comment: str, *, before: str) -> None:
    op.alter_column("activity", "lease_expires_at", comment=comment, existing_comment=before)


def _replacing(text: str) -> str:
    """A function takes the place of the one of its name."""
    return text.replace("CREATE ", "CREATE OR REPLACE ", 1)


def _defend_table(table: str) -> None:
    op.execute(
        f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
    )
    op.execute(f"CREATE TRIGGER defend_rows BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION agd_defend()")


def _defend_values(table: str, free: str = "") -> None:
    columns = [column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)]
    changed = " OR ".join(
        f"record_image_ne(ROW(OLD.{column}), ROW(NEW.{column}))" for column in columns if column not in free.split()
    )
    op.execute(
        f"CREATE TRIGGER defend_values BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({changed})"
        f" EXECUTE FUNCTION agd_defend('', '{free}')"
    )


def _create_tables() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False, comment="what a person reads, and FireWorks shows"),
        sa.Column("key_sha256", sa.Text(), nullable=False, comment="the same for the same work, however often wanted"),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True, comment="whose step it is, or whom it serves"),
        sa.Column("iteration", sa.Integer(), nullable=True, comment="its number, which need not have begun"),
        sa.Column(
            "request",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="all that was asked for; empty for a step, whose campaign says it",
        ),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False, comment="the highest first"),
        sa.Column("n_cores", sa.Integer(), server_default="1", nullable=False),
        sa.Column("hours", sa.Double(), nullable=True, comment="it takes at most, NULL where nobody knows"),
        sa.Column(
            "programs",
            postgresql.ARRAY(sa.Text(), dimensions=1),
            server_default="{}",
            nullable=False,
            comment="that whoever takes it has to have",
        ),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is held, parked or cancelled"),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True, comment="after a failure that may pass"),
        sa.Column(
            "retries_from",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
            comment="attempts before are forgiven",
        ),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("title <> ''", name=op.f("ck_job_title_is_given")),
        sa.CheckConstraint(
            "state IN ('open', 'held', 'done', 'parked', 'cancelled')", name=op.f("ck_job_state_is_known")
        ),
        sa.CheckConstraint(
            "reason IS NULL OR state IN ('held', 'parked', 'cancelled')", name=op.f("ck_job_reason_is_of_a_pause")
        ),
        sa.CheckConstraint(
            "state <> 'parked' OR (reason IS NOT NULL AND reason <> '')", name=op.f("ck_job_parked_has_reason")
        ),
        sa.CheckConstraint("n_cores > 0", name=op.f("ck_job_n_cores_is_positive")),
        sa.CheckConstraint("hours > 0 AND hours < 'Infinity'", name=op.f("ck_job_hours_are_finite")),
        sa.CheckConstraint("array_position(programs, NULL) IS NULL", name=op.f("ck_job_programs_are_named")),
        sa.CheckConstraint(
            "iteration IS NULL OR (iteration > 0 AND campaign_id IS NOT NULL)",
            name=op.f("ck_job_iteration_has_campaign"),
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_job_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("id", "kind", name=op.f("uq_job_id_kind")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_job_key_sha256")),
    )
    op.create_index("ix_job_campaign", "job", ["campaign_id"], postgresql_where=sa.text("campaign_id IS NOT NULL"))
    op.create_index("ix_job_open", "job", [sa.text("priority DESC"), "id"], postgresql_where=sa.text("state = 'open'"))
    op.create_table(
        "job_after",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("waits_for_id", sa.BigInteger(), nullable=False, comment="made before it: nothing waits in a circle"),
        sa.CheckConstraint("waits_for_id < job_id", name=op.f("ck_job_after_waits_for_an_earlier_one")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_after_job_id")),
        sa.ForeignKeyConstraint(["waits_for_id"], ["job.id"], name=op.f("fk_job_after_waits_for_id")),
        sa.PrimaryKeyConstraint("job_id", "waits_for_id", name=op.f("pk_job_after")),
    )
    op.create_index("ix_job_after_waits_for", "job_after", ["waits_for_id"])
    op.create_table(
        "stage",
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "role",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="of the screening, where an activity made several; else empty",
        ),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n_in", sa.BigInteger(), nullable=False),
        sa.Column("n_left", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("n_in >= 0", name=op.f("ck_stage_n_in_is_a_count")),
        sa.CheckConstraint("n_left >= 0", name=op.f("ck_stage_n_left_is_a_count")),
        sa.CheckConstraint("position > 0", name=op.f("ck_stage_position_is_positive")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_stage_activity_id")),
        sa.PrimaryKeyConstraint("activity_id", "role", "position", name=op.f("pk_stage")),
    )


def _create_stages() -> None:
    """The tables of revisions 0002 and 0005."""
    for table, owner, key in (
        ("generation_stage", "generation", "dataset_id"),
        ("screening_stage", "screening", "screening_id"),
    ):
        op.create_table(
            table,
            sa.Column(key, sa.BigInteger(), nullable=False),
            sa.Column("position", sa.Integer(), nullable=False),
            sa.Column("name", sa.Text(), nullable=False),
            sa.Column("n_left", sa.BigInteger(), nullable=False),
            sa.CheckConstraint("n_left >= 0", name=op.f(f"ck_{table}_n_left_is_a_count")),
            sa.ForeignKeyConstraint(
                [key], [f"{owner}.{'id' if owner == 'screening' else key}"], name=op.f(f"fk_{table}_{key}")
            ),
            sa.PrimaryKeyConstraint(key, "position", name=op.f(f"pk_{table}")),
        )
