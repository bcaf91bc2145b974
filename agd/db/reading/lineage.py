"""Where a composition came from: one recursive walk over foreign keys, then the rows it reached."""

from collections.abc import Sequence

from sqlalchemy import bindparam, text

from agd.db.connection import AnyRow, Transaction
from agd.db.reading.progress import predicted_hull_of

# OFFSET 0 keeps the planner from joining the whole view: it follows each edge by index instead.
_WALK = text("""
WITH RECURSIVE walk (kind, id) AS ( -- of what a composition was made is its own story
    SELECT 'composition', CAST(:composition AS bigint)
    UNION
    SELECT e.parent_kind, e.parent_id FROM walk w CROSS JOIN LATERAL (
        SELECT parent_kind, parent_id FROM v_lineage
        WHERE child_kind = w.kind AND child_id = w.id AND parent_kind <> 'composition' OFFSET 0
    ) e
)
SELECT kind, id FROM walk ORDER BY kind, id
""")

_DATASETS = text("""
SELECT d.name, d.source, d.source_sha256, d.property, d.n_read, a.started_at AS imported_at, r.line, r.formula,
       EXISTS (SELECT FROM generation g WHERE g.dataset_id = d.id) AS is_generated
FROM dataset d JOIN activity a ON a.id = d.activity_id
LEFT JOIN dataset_row r ON r.dataset_id = d.id AND r.composition_id = :composition
WHERE d.id IN :ids ORDER BY d.id
""").bindparams(bindparam("ids", expanding=True))

_GENERATIONS = text("""
SELECT v.generation, v.sample, v.generated_formula, v.n_samples, v.generator, v.generator_sha256, v.model_version_id,
       v.seed, g.generated_at, g.agd_version, g.host, v.dataset_id
FROM v_generated v JOIN v_generation g USING (dataset_id) WHERE v.composition_id = :composition ORDER BY v.dataset_id
""")

_LABELS = text("SELECT * FROM v_label WHERE label_id IN :ids ORDER BY label_id").bindparams(
    bindparam("ids", expanding=True)
)

_SUGGESTIONS = text(f"""
SELECT v.*, n.lower_bound, n.novelty, n.analogue, n.reference, q.claim, q.level AS claim_level,
       h.value AS predicted_e_above_hull_ev_per_atom
FROM v_suggestion v
CROSS JOIN LATERAL (SELECT * FROM v_sureness n WHERE n.suggestion_id = v.suggestion_id OFFSET 0) n
LEFT JOIN LATERAL (SELECT * FROM v_claim q WHERE q.composition_id = v.composition_id OFFSET 0) q ON true
{predicted_hull_of("v")}
WHERE v.suggestion_id IN :ids ORDER BY v.suggestion_id
""").bindparams(bindparam("ids", expanding=True))

_MODELS = text("""
SELECT m.id, m.kind, m.plugin, m.architecture_version, m.options, m.seed, m.metrics, m.tensors_sha256,
       a.started_at, a.ended_at, a.agd_version, a.host, t.n_members,
       coalesce(q.is_held_out, (SELECT bool_or(x.is_held_out) FROM training_structure x
                                JOIN structure s ON s.id = x.structure_id
                                WHERE x.training_set_id = t.id AND s.composition_id = :composition)) AS is_held_out,
       concat_ws(', ',
           (SELECT string_agg(d.name || ' (' || s.n_members || ' rows)', ', ' ORDER BY d.name)
            FROM training_set_source s JOIN dataset d ON d.id = s.dataset_id WHERE s.training_set_id = t.id),
           (SELECT string_agg('campaign ' || k.name || ' (' || s.n_members || ' labels of iterations up to '
                              || s.last_iteration || ')', ', ' ORDER BY k.name)
            FROM training_set_campaign s JOIN campaign k ON k.id = s.campaign_id WHERE s.training_set_id = t.id))
           AS drawn_from
FROM model_version m
JOIN activity a ON a.id = m.activity_id
JOIN training_set t ON t.id = m.training_set_id
LEFT JOIN training_set_member q ON q.training_set_id = t.id AND q.composition_id = :composition
WHERE m.id IN :ids ORDER BY m.kind, m.id
""").bindparams(bindparam("ids", expanding=True))

# The newest suggestion of each parent by the same campaign tells where that came from, and so on.
_PARENTS = text("""
WITH RECURSIVE line (child_id, suggestion_id, composition_id, operator, depth) AS (
    SELECT p.suggestion_id, p.suggestion_id, p.composition_id, p.operator, 1
    FROM suggestion_parent p WHERE p.suggestion_id IN :ids
    UNION ALL
    SELECT l.child_id, p.suggestion_id, p.composition_id, p.operator, l.depth + 1
    FROM line l JOIN suggestion c ON c.id = l.child_id
    JOIN suggestion s ON s.composition_id = l.composition_id AND s.campaign_id = c.campaign_id AND s.outcome = 'new'
        AND s.id < l.suggestion_id
    JOIN suggestion_parent p ON p.suggestion_id = s.id
)
SELECT l.child_id, l.depth, c.reduced_formula, l.operator, i.number AS iteration
FROM line l JOIN composition c ON c.id = l.composition_id
JOIN suggestion s ON s.id = l.suggestion_id JOIN iteration i ON i.id = s.iteration_id
ORDER BY l.child_id, l.depth, c.reduced_formula COLLATE "C"
""").bindparams(bindparam("ids", expanding=True))

_SCREENINGS = text("""
SELECT v.*, (SELECT count(*) FROM screening_hit h WHERE h.screening_id = v.screening_id) AS n_hits, g.criteria,
       p.generator AS pool_generator, p.generator_sha256 AS pool_generator_sha256, p.seed AS pool_seed
FROM v_screening_hit v JOIN screening g ON g.id = v.screening_id LEFT JOIN v_generation p ON p.dataset_id = g.dataset_id
WHERE v.composition_id = :composition ORDER BY v.screening_id
""")

_TRAINED_ON = text("""
SELECT t.iteration, count(*) AS n_labels, count(x.label_id) AS n_retracted
FROM v_training_label t LEFT JOIN retraction x ON x.label_id = t.label_id
WHERE t.model_version_id = :model GROUP BY t.iteration ORDER BY t.iteration NULLS FIRST
""")

_LABELS_BY_ITERATION = text("""
SELECT iteration, n_new AS n_labels FROM v_iteration WHERE campaign_id = :campaign ORDER BY iteration
""")

_N_INITIAL = text("""
SELECT t.n_members FROM campaign_set q JOIN training_set t ON t.id = q.training_set_id
WHERE q.campaign_id = :campaign AND q.role = 'initial'
""")

_IS_INITIAL = text("""
SELECT k.name FROM campaign_set q JOIN campaign k ON k.id = q.campaign_id
JOIN training_set_member t ON t.training_set_id = q.training_set_id
WHERE q.role = 'initial' AND t.composition_id = :composition ORDER BY k.name
""")

_COMPOSITION = text("""
SELECT c.*, a.kind AS made_by, a.started_at AS made_at FROM composition c JOIN activity a ON a.id = c.activity_id
WHERE c.reduced_formula = :formula
""")

_VERDICTS = text("""
SELECT rule, rule_version, is_charge_neutral, is_electronegativity_balanced FROM verdict
WHERE composition_id = :composition ORDER BY rule, rule_version
""")

_STRUCTURES = text("""
SELECT * FROM v_structure_candidate WHERE composition_id = :composition
ORDER BY search_id, rank, potential_id NULLS FIRST, relaxation_id
""")

_CALCULATIONS = text("SELECT * FROM v_calculation WHERE composition_id = :composition ORDER BY calculation_id")
_PHONONS = text("SELECT * FROM v_phonons WHERE composition_id = :composition ORDER BY calculation_id")
_ELASTICITY = text("SELECT * FROM v_elasticity WHERE composition_id = :composition ORDER BY calculation_id")

_HULL_DISTANCES = text("""
SELECT * FROM v_hull_distance WHERE composition_id = :composition AND is_newest
ORDER BY method_kind, method, correction_scheme, e_above_hull_ev_per_atom, hull_distance_id
""")

_REJECTS = text("""
SELECT d.name AS dataset, r.line, r.kind, r.message FROM dataset_reject r JOIN dataset d ON d.id = r.dataset_id
WHERE r.formula = :formula ORDER BY d.name, r.line
""")


_REFUSALS = text("SELECT * FROM v_rejection WHERE reduced_formula = :formula ORDER BY activity_id, reason")


def refusals(tx: Transaction, reduced_formula: str) -> Sequence[AnyRow]:
    """Rows of v_rejection: where filters refused a composition, as far as samples of it were kept."""
    return tx.execute(_REFUSALS, {"formula": reduced_formula}).all()


def composition(tx: Transaction, reduced_formula: str) -> AnyRow | None:
    """The composition's row with the activity that first stored it."""
    return tx.execute(_COMPOSITION, {"formula": reduced_formula}).one_or_none()


def verdicts(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """What each rule says of a composition."""
    return tx.execute(_VERDICTS, {"composition": composition_id}).all()


def ancestors(tx: Transaction, composition_id: int) -> dict[str, list[int]]:
    """Ids by kind of everything that led to a composition."""
    found: dict[str, list[int]] = {}
    for kind, row_id in tx.execute(_WALK, {"composition": composition_id}):
        found.setdefault(kind, []).append(row_id)
    return found


def datasets(tx: Transaction, ids: Sequence[int], composition_id: int) -> Sequence[AnyRow]:
    """Datasets, with the line of the composition where it stands in them, and whether a generator made them."""
    return tx.execute(_DATASETS, {"ids": list(ids), "composition": composition_id}).all()


def generations(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """The generations that hold a composition, each with its first sample there and how many there are."""
    return tx.execute(_GENERATIONS, {"composition": composition_id}).all()


def labels(tx: Transaction, ids: Sequence[int]) -> Sequence[AnyRow]:
    """Rows of v_label."""
    return tx.execute(_LABELS, {"ids": list(ids)}).all() if ids else []


def suggestions(tx: Transaction, ids: Sequence[int]) -> Sequence[AnyRow]:
    """Rows of v_suggestion, of v_sureness and of v_claim."""
    return tx.execute(_SUGGESTIONS, {"ids": list(ids)}).all() if ids else []


def parents(tx: Transaction, suggestion_ids: Sequence[int]) -> Sequence[AnyRow]:
    """(child_id, depth, reduced_formula, operator, iteration) of what suggestions were made from, nearest first."""
    return tx.execute(_PARENTS, {"ids": list(suggestion_ids)}).all() if suggestion_ids else []


def model_versions(tx: Transaction, ids: Sequence[int], composition_id: int) -> Sequence[AnyRow]:
    """Model versions with their training sets; `is_held_out` is NULL where the composition was not in the set."""
    return tx.execute(_MODELS, {"ids": list(ids), "composition": composition_id}).all()


def screenings(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """Rows of v_screening_hit of a composition, each with its screening's criteria, number of hits and generator."""
    return tx.execute(_SCREENINGS, {"composition": composition_id}).all()


def trained_on(tx: Transaction, model_version_id: int) -> Sequence[AnyRow]:
    """(iteration, n_labels, n_retracted) of what a model learned from.

    The iteration is NULL for labels that were not a campaign's own; retracted are those that were later.
    """
    return tx.execute(_TRAINED_ON, {"model": model_version_id}).all()


def labels_by_iteration(tx: Transaction, campaign_id: int) -> dict[int, int]:
    """What a campaign learned and when: the initial labels as iteration 0, then the new ones of each iteration."""
    n_initial = int(tx.execute(_N_INITIAL, {"campaign": campaign_id}).scalar_one())
    return {0: n_initial, **dict(tx.execute(_LABELS_BY_ITERATION, {"campaign": campaign_id}).all())}


def initial_in(tx: Transaction, composition_id: int) -> list[str]:
    """The campaigns that started from this composition."""
    return list(tx.execute(_IS_INITIAL, {"composition": composition_id}).scalars())


def claim(tx: Transaction, composition_id: int) -> AnyRow:
    """The row of v_claim of a composition."""
    return tx.execute(text("SELECT * FROM v_claim WHERE composition_id = :composition"), _of(composition_id)).one()


def structures(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """Rows of v_structure_candidate of a composition, search by search, by rank."""
    return tx.execute(_STRUCTURES, _of(composition_id)).all()


def hull_distances(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """Rows of v_hull_distance of a composition: of each energy the newest."""
    return tx.execute(_HULL_DISTANCES, _of(composition_id)).all()


def calculations(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """Rows of v_calculation of a composition, in the order in which they were asked for."""
    return tx.execute(_CALCULATIONS, _of(composition_id)).all()


def phonons(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """Rows of v_phonons of a composition."""
    return tx.execute(_PHONONS, _of(composition_id)).all()


def elasticity(tx: Transaction, composition_id: int) -> Sequence[AnyRow]:
    """Rows of v_elasticity of a composition."""
    return tx.execute(_ELASTICITY, _of(composition_id)).all()


def _of(composition_id: int) -> dict[str, int]:
    return {"composition": composition_id}


def rejects(tx: Transaction, formula: str) -> Sequence[AnyRow]:
    """Rows of datasets with this spelling that were refused."""
    return tx.execute(_REJECTS, {"formula": formula}).all()
