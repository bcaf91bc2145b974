"""What a physician asks the database: who is at work, what contradicts itself, what nothing refers to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from agd.db.connection import AnyRow, Transaction
from agd.errors import SchemaError

_RUNNING = text("""
SELECT a.id, a.kind, a.host, a.pid, a.started_at, a.lease_expires_at, k.id AS campaign_id, k.name AS campaign, k.engine,
       a.lease_expires_at < clock_timestamp() AS is_expired
FROM activity a LEFT JOIN campaign k ON k.id = a.campaign_id
WHERE a.outcome = 'running' ORDER BY a.id
""")

_EXTENSIONS = text("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY extname")

_FOREIGN_KEYS = text("""
SELECT child.relname AS child, parent.relname AS parent, k.conname,
       format('SELECT count(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)',
              k.conrelid::regclass, string_agg(format('c.%I IS NOT NULL', of.attname), ' AND '),
              k.confrelid::regclass, string_agg(format('p.%I = c.%I', to_.attname, of.attname), ' AND ')) AS counting
FROM pg_constraint k JOIN pg_class child ON child.oid = k.conrelid JOIN pg_class parent ON parent.oid = k.confrelid
CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS u (of_number, to_number)
JOIN pg_attribute of ON of.attrelid = k.conrelid AND of.attnum = u.of_number
JOIN pg_attribute to_ ON to_.attrelid = k.confrelid AND to_.attnum = u.to_number
WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace
GROUP BY k.oid, k.conname, k.conrelid, k.confrelid, child.relname, parent.relname ORDER BY child.relname, k.conname
""")

_PARKED = text("SELECT name, parked_reason FROM campaign WHERE parked_reason IS NOT NULL ORDER BY id")


@dataclass(frozen=True, slots=True)
class Law:
    """A rule that no constraint can hold; `broken` counts the rows against it."""

    subject: str
    what: str
    broken: str


_WRITTEN = (
    "SELECT s.activity_id AS id, 'suggest' AS kind, s.iteration_id FROM suggestion s"
    " UNION ALL SELECT s.decode_activity_id, 'decode', s.iteration_id FROM suggestion s"
    " UNION ALL SELECT s.label_activity_id, 'label', s.iteration_id FROM suggestion s"
    " UNION ALL SELECT f.activity_id, 'label', s.iteration_id FROM suggestion_label f"
    " JOIN suggestion s ON s.id = f.suggestion_id"
    " UNION ALL SELECT e.activity_id, 'suggest', s.iteration_id FROM suggestion_expectation e"
    " JOIN suggestion s ON s.id = e.suggestion_id"
    " UNION ALL SELECT activity_id, 'record', iteration_id FROM iteration_tally WHERE number = 1"
    " UNION ALL SELECT activity_id, 'open', NULL FROM campaign_target"
    " UNION ALL SELECT activity_id, CASE WHEN structure_id IS NULL THEN 'label' ELSE 'label structures' END, NULL"
    " FROM label WHERE model_version_id IS NOT NULL"
    " UNION ALL SELECT activity_id, 'templates', NULL FROM template_search"
    " UNION ALL SELECT activity_id, 'relax', NULL FROM relaxation"
    " UNION ALL SELECT activity_id, CASE WHEN label_id IS NULL THEN 'structure' ELSE 'hull' END, NULL"
    " FROM hull_distance"
    " UNION ALL SELECT activity_id, 'measure', NULL FROM measurement"
    " UNION ALL SELECT activity_id, 'retract', NULL FROM retraction"
    " UNION ALL SELECT activity_id, 'give up', NULL FROM given_up"
    " UNION ALL SELECT activity_id, 'replace label', NULL FROM label_replacement"
    " UNION ALL SELECT activity_id, 'screen', NULL FROM screening"
    " UNION ALL SELECT activity_id, 'extend', NULL FROM campaign_amendment"
)
"""Rows with the activity that wrote them, and what it must have been."""

_OUT_OF_ORDER = (
    "SELECT FROM (SELECT d.*, lag(d.depth) OVER (ORDER BY d.rank) AS before FROM"
    " (SELECT h.rank, h.value, t.low, t.high, CASE WHEN t.high IS NULL THEN h.value WHEN t.low IS NULL THEN -h.value"
    " ELSE least(h.value - t.low, t.high - h.value) END AS depth FROM screening_hit h CROSS JOIN"
    " (SELECT (g.criteria ->> 'low')::float8 AS low, (g.criteria ->> 'high')::float8 AS high) t"
    " WHERE h.screening_id = g.id) d) o WHERE o.depth > o.before OR o.value < o.low OR o.value > o.high"
)
"""Hits that are farther inside the target than the one before, or outside it."""

_COUNTS = (
    *("n_suggested", "n_undecodable", "n_decodable", "n_duplicate", "n_known", "n_rejected", "n_new", "n_charged"),
    *("n_finds", "n_known_finds", "highest", "lowest", "best", "is_best_feasible"),
)
_MISCOUNTED = (
    f"(t.n_changes = coalesce(x.n, 0) AND ({', '.join(f'r.{name}' for name in _COUNTS)}) IS DISTINCT FROM"
    f" ({', '.join(f't.{name}' for name in _COUNTS)})) OR (t.number IS NULL AND EXISTS (SELECT FROM activity a"
    " WHERE a.iteration_id = r.iteration_id AND a.kind = 'record' AND a.outcome = 'done'))"
)
"""That what was counted of an iteration is not what its suggestions come to, or is missing where it is recorded."""

CONTRADICTIONS = (
    Law(
        "suggestion",
        "are undecodable without a decode failure, or have one and were decoded",
        "suggestion s LEFT JOIN decode_failure f ON f.suggestion_id = s.id"
        " WHERE (s.outcome IS NOT DISTINCT FROM 'undecodable') <> (f.suggestion_id IS NOT NULL)",
    ),
    Law(
        "suggestion",
        "have a label of a further property that is none of their campaign's, or none of one where they have the first",
        "suggestion s LEFT JOIN campaign_target t ON t.campaign_id = s.campaign_id FULL JOIN suggestion_label f"
        " ON f.suggestion_id = s.id AND f.position = t.position LEFT JOIN label l ON l.id = f.label_id"
        " WHERE (t.position IS NOT NULL AND s.outcome = 'new' AND (s.label_id IS NULL) <> (f.label_id IS NULL))"
        " OR (f.label_id IS NOT NULL AND l.property IS DISTINCT FROM t.property)",
    ),
    Law(
        "iteration",
        "are recorded and hold suggestions that were never decoded",
        "v_iteration i WHERE i.is_recorded AND EXISTS (SELECT FROM suggestion s"
        " JOIN iteration n ON n.id = s.iteration_id"
        " WHERE n.campaign_id = i.campaign_id AND n.number = i.iteration AND s.outcome IS NULL)",
    ),
    Law(
        "iteration",
        "are recorded without what they came to, or it is not what their suggestions say",
        "v_iteration_recount r LEFT JOIN v_iteration_changes x USING (iteration_id) LEFT JOIN iteration_tally t"
        " ON t.iteration_id = r.iteration_id AND NOT EXISTS (SELECT FROM iteration_tally l"
        f" WHERE l.iteration_id = t.iteration_id AND l.number > t.number) WHERE {_MISCOUNTED}",
    ),
    Law(
        "dataset",
        "hold another number of compositions than they came to",
        "dataset d JOIN dataset_tally t ON t.dataset_id = d.id LEFT JOIN (SELECT dataset_id, count(*) AS n"
        " FROM dataset_row GROUP BY dataset_id) r ON r.dataset_id = d.id"
        " WHERE t.n_compositions <> coalesce(r.n, 0)",
    ),
    Law(
        "campaign",
        "were charged more calls than their budget",
        "v_campaign_progress p WHERE p.n_charged > p.budget_calls",
    ),
    Law(
        "generation",
        "hold another number of samples than were kept of it, or a sample that was not drawn",
        "generation g JOIN dataset d ON d.id = g.dataset_id CROSS JOIN LATERAL (SELECT coalesce(sum(n_rows), 0) AS n,"
        " min(line) AS first, max(line) AS last FROM dataset_row r WHERE r.dataset_id = g.dataset_id) x"
        " WHERE d.n_read <> g.n_samples OR x.n <> d.n_read - d.n_rejected OR x.first < g.first_sample"
        " OR x.last >= g.first_sample + g.n_samples",
    ),
    Law(
        "training set",
        "have another number of members than they were stored with",
        "training_set t WHERE n_members <> (SELECT count(*) FROM training_set_member m WHERE m.training_set_id = t.id)"
        " + (SELECT count(*) FROM training_structure q WHERE q.training_set_id = t.id)",
    ),
    Law(
        "training set",
        "hold structures of a formula out and have others of it to learn from",
        "(SELECT q.training_set_id FROM training_structure q JOIN structure s ON s.id = q.structure_id"
        " GROUP BY q.training_set_id, s.composition_id HAVING count(DISTINCT q.is_held_out) > 1) split",
    ),
    Law(
        "screening",
        "hold other hits than were left at their last stage, or hits outside their target or out of order",
        "screening g CROSS JOIN LATERAL (SELECT t.n_left FROM stage t WHERE t.activity_id = g.activity_id"
        " AND t.role = g.role ORDER BY t.position DESC LIMIT 1) final CROSS JOIN LATERAL (SELECT count(*) AS n,"
        " max(h.rank) AS last FROM screening_hit h WHERE h.screening_id = g.id) x"
        " WHERE x.n <> final.n_left OR x.last <> x.n"
        f" OR EXISTS ({_OUT_OF_ORDER})",
    ),
    Law(
        "activity",
        "did not succeed, or are of another kind or iteration than the rows that name them",
        f"(SELECT DISTINCT x.id FROM ({_WRITTEN}) x JOIN activity a USING (id)"
        " WHERE a.kind <> x.kind OR a.outcome <> 'done'"
        " OR (x.iteration_id IS NOT NULL AND a.iteration_id IS DISTINCT FROM x.iteration_id)) y",
    ),
    Law(
        "activity",
        "retracted a label or gave one up, and not exactly one row says so",
        "(SELECT a.id FROM activity a LEFT JOIN (SELECT activity_id FROM retraction UNION ALL SELECT activity_id FROM"
        " given_up) x ON x.activity_id = a.id WHERE a.kind IN ('retract', 'give up') AND a.outcome = 'done'"
        " GROUP BY a.id HAVING count(x.activity_id) <> 1) y",
    ),
    Law(
        "job",
        "are done without an attempt that is, or are not and have one",
        "job j WHERE (j.state = 'done')"
        " <> EXISTS (SELECT FROM activity a WHERE a.job_id = j.id AND a.outcome = 'done')",
    ),
    Law(
        "job",
        "are steps of another campaign or iteration than their attempts, or have not the key of that step",
        "(SELECT DISTINCT j.id FROM job j JOIN activity a ON a.job_id = j.id JOIN campaign k ON k.id = a.campaign_id"
        " LEFT JOIN iteration i ON i.id = a.iteration_id WHERE j.campaign_id IS DISTINCT FROM a.campaign_id"
        " OR j.iteration IS DISTINCT FROM i.number OR j.key_sha256 <> agd_step_key(k.name, j.kind, i.number)) y",
    ),
    Law(
        "stage",
        "are of an activity that made neither a generation nor suggestions nor a screening, or none of that role",
        "stage t WHERE NOT EXISTS (SELECT FROM generation g JOIN dataset d ON d.id = g.dataset_id"
        " WHERE d.activity_id = t.activity_id AND t.role = '')"
        " AND NOT EXISTS (SELECT FROM suggestion s WHERE s.activity_id = t.activity_id AND t.role = '')"
        " AND NOT EXISTS (SELECT FROM screening g WHERE g.activity_id = t.activity_id AND g.role = t.role)",
    ),
    Law(
        "rejection sample",
        "are of an activity that has no stages",
        "rejection_sample r WHERE NOT EXISTS (SELECT FROM stage t WHERE t.activity_id = r.activity_id)",
    ),
    Law(
        "search for templates",
        "hold another number of candidates than they say, or one whose structure is of another composition",
        "template_search q WHERE q.n_proposed <> (SELECT count(*) FROM structure_candidate s WHERE s.search_id = q.id)"
        " OR EXISTS (SELECT FROM structure_candidate s JOIN structure t ON t.id = s.structure_id"
        " WHERE s.search_id = q.id AND t.composition_id <> q.composition_id)",
    ),
    Law(
        "relaxation",
        "ended as another composition than they began",
        "relaxation r JOIN structure f ON f.id = r.from_id JOIN structure s ON s.id = r.structure_id"
        " WHERE f.composition_id <> s.composition_id",
    ),
    Law(
        "distance from a hull",
        "stand on phases whose shares are no whole, or whose energies are not that of the hull",
        "hull_distance h CROSS JOIN LATERAL (SELECT sum(o.atomic_fraction) AS whole,"
        " sum(o.atomic_fraction * m.e_form_ev_per_atom) AS hull FROM decomposition o JOIN phase_set_member m"
        " ON m.phase_set_id = o.phase_set_id AND m.position = o.position WHERE o.hull_distance_id = h.id) x"
        " WHERE (abs(x.whole - 1) < 1e-6 AND abs(x.hull - h.hull_ev_per_atom) < 1e-6) IS NOT TRUE",
    ),
    Law(
        "calculation",
        "have results that their recipe does not ask for, or that no attempt at them that succeeded has made",
        "(SELECT x.calculation_id FROM (SELECT calculation_id, activity_id, 'relax' AS kind FROM calculation_relaxed"
        " UNION ALL SELECT calculation_id, activity_id, 'gap' FROM calculation_gap"
        " UNION ALL SELECT calculation_id, activity_id, 'elastic' FROM calculation_elasticity"
        " UNION ALL SELECT calculation_id, activity_id, 'phonons' FROM calculation_phonons) x"
        " JOIN calculation k ON k.id = x.calculation_id JOIN calculation_recipe q ON q.id = k.recipe_id"
        " LEFT JOIN calculation_attempt t ON t.activity_id = x.activity_id AND t.calculation_id = k.id"
        " LEFT JOIN activity a ON a.id = t.activity_id"
        " WHERE q.kind <> x.kind OR a.outcome IS DISTINCT FROM 'done') y",
    ),
    Law(
        "label",
        "have another activity than their dataset, measurement or calculated gap",
        "label l LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN measurement e ON e.id = l.measurement_id"
        " LEFT JOIN calculation_gap g ON g.calculation_id = l.calculation_id"
        " WHERE l.activity_id <> coalesce(d.activity_id, e.activity_id, g.activity_id)",
    ),
)

ORPHANS = (
    Law(
        "training set",
        "belong to no campaign and no model",
        "training_set t WHERE NOT EXISTS (SELECT FROM campaign_set q WHERE q.training_set_id = t.id)"
        " AND NOT EXISTS (SELECT FROM model_version m WHERE m.training_set_id = t.id)",
    ),
    Law(
        "latent",
        "encode no composition and were suggested by nobody",
        "latent z WHERE z.composition_id IS NULL AND NOT EXISTS (SELECT FROM suggestion s WHERE s.latent_id = z.id)",
    ),
    Law(
        "model file",
        "are in the record and belong to no model version",
        "artifact f WHERE NOT EXISTS (SELECT FROM model_version m WHERE m.tensors_sha256 = f.sha256)",
    ),
    Law(
        "composition",
        "are referred to by nothing but verdicts",
        "(SELECT id FROM composition EXCEPT (SELECT composition_id FROM dataset_row"
        " UNION ALL SELECT composition_id FROM label UNION ALL SELECT composition_id FROM suggestion"
        " UNION ALL SELECT composition_id FROM latent UNION ALL SELECT composition_id FROM measurement"
        " UNION ALL SELECT composition_id FROM training_set_member"
        " UNION ALL SELECT composition_id FROM suggestion_parent"
        " UNION ALL SELECT composition_id FROM template_search"
        " UNION ALL SELECT composition_id FROM phase_set_member"
        " UNION ALL SELECT composition_id FROM screening_hit)) unused",
    ),
)


@contextmanager
def damaged_schema() -> Iterator[None]:
    """Say in one line that a table, a view or a function is not there; raises SchemaError."""
    try:
        yield
    except ProgrammingError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise SchemaError(
            f"something is missing in the schema ({reason}): restore a backup with `agd restore --force`"
        ) from error


def n_against(tx: Transaction, law: Law) -> int:
    """How many rows break the law."""
    return int(tx.execute(text(f"SELECT count(*) FROM {law.broken}")).scalar_one())


def dangling(tx: Transaction) -> Iterator[tuple[str, str, int]]:
    """Tables, those they refer to, and how many rows refer to what is not there.

    No foreign key looks at what was written or removed while its triggers were off.
    """
    for row in tx.execute(_FOREIGN_KEYS).all():
        if n := int(tx.execute(text(row.counting)).scalar_one()):
            yield row.child, row.parent, n


def running(tx: Transaction) -> Sequence[AnyRow]:
    """Activities that have not ended.

    (id, kind, host, pid, started_at, lease_expires_at, is_expired; campaign_id, campaign and engine, or None).
    """
    return tx.execute(_RUNNING).all()


def extensions(tx: Transaction) -> list[str]:
    """Names of the installed extensions; every database has plpgsql, which is left out."""
    return list(tx.execute(_EXTENSIONS).scalars())


def encoding(tx: Transaction) -> str:
    """How the server stores text."""
    return str(tx.scalar(text("SHOW server_encoding")))


def model_file_sizes(tx: Transaction) -> dict[str, int]:
    """The bytes of the tensors in each model file, by hash; the file itself is a little larger."""
    return {row.sha256: row.n_bytes for row in tx.execute(text("SELECT sha256, n_bytes FROM artifact ORDER BY sha256"))}


def parked(tx: Transaction) -> dict[str, str]:
    """Campaigns of which no step is tried again by itself, with the reason."""
    return {row.name: row.parked_reason for row in tx.execute(_PARKED)}
