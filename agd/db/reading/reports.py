"""What a person sees of campaigns: figures of merit, traces in order of the calls, finds with their lineage."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text

from agd.db.connection import AnyRow, Transaction
from agd.db.plausible_labels import BEST_FIRST, IS_FIND, teaches


class Rule(NamedTuple):
    """A verdict rule by its key."""

    name: str
    version: int


_FACTS = text("""
SELECT k.id AS campaign_id, k.name, k.spec, k.spec_text, k.spec_sha256, k.seed, k.agd_version, k.mode,
       m.plugin AS autoencoder, m.metrics AS autoencoder_metrics,
       o.plugin AS oracle, o.metrics AS oracle_metrics, coalesce(n.n_members, 0) AS n_initial
FROM campaign k
LEFT JOIN campaign_model a ON a.campaign_id = k.id AND a.role = 'autoencoder'
LEFT JOIN model_version m ON m.id = a.model_version_id
LEFT JOIN campaign_model b ON b.campaign_id = k.id AND b.role = 'oracle'
LEFT JOIN model_version o ON o.id = b.model_version_id
LEFT JOIN campaign_set i ON i.campaign_id = k.id AND i.role = 'initial'
LEFT JOIN training_set n ON n.id = i.training_set_id
WHERE k.id IN :ids
""").bindparams(bindparam("ids", expanding=True))

_MERITS = text(f"""
WITH row AS (
    SELECT v.*, {IS_FIND} AS is_distinct_find,
           CASE WHEN {IS_FIND} THEN v.value - v.uncertainty >= coalesce(k.target_low, '-Infinity')
               AND v.value + v.uncertainty <= coalesce(k.target_high, 'Infinity')
               AND NOT EXISTS (SELECT FROM campaign_target t
                               JOIN suggestion_label f ON f.suggestion_id = v.suggestion_id AND f.position = t.position
                               JOIN label l ON l.id = f.label_id
                               WHERE t.campaign_id = k.id
                               AND (l.value - l.uncertainty >= coalesce(t.low, '-Infinity')
                                    AND l.value + l.uncertainty <= coalesce(t.high, 'Infinity')) IS NOT TRUE)
               END AS is_find_by_bound,
           count(*) FILTER (WHERE v.is_charged) OVER (ORDER BY v.iteration, v.rank) AS n_calls
    FROM v_suggestion v JOIN campaign k ON k.id = v.campaign_id WHERE k.id = :campaign
)
SELECT count(*) FILTER (WHERE r.outcome = 'new' AND r.label_id IS NOT NULL) AS n_distinct,
       count(*) FILTER (WHERE r.is_distinct_find) AS n_finds,
       count(*) FILTER (WHERE r.is_find_by_bound) AS n_finds_by_bound,
       count(r.uncertainty) FILTER (WHERE r.outcome = 'new') AS n_with_uncertainty,
       count(*) FILTER (WHERE r.outcome = 'new' AND r.label_id IS NOT NULL
           AND q.is_charge_neutral AND q.is_electronegativity_balanced) AS n_valid,
       count(*) FILTER (WHERE r.is_distinct_find
           AND q.is_charge_neutral AND q.is_electronegativity_balanced) AS n_valid_finds,
       count(DISTINCT c.chemical_system) FILTER (WHERE r.is_distinct_find) AS n_chemical_systems,
       min(r.n_calls) FILTER (WHERE r.is_distinct_find) AS calls_to_first_find,
       count(*) FILTER (WHERE r.is_awaited) AS n_waiting
FROM row r
LEFT JOIN composition c ON c.id = r.composition_id
LEFT JOIN verdict q ON q.composition_id = r.composition_id AND q.rule = :rule AND q.rule_version = :rule_version
""")

_TRACE = text("""
SELECT v.iteration, v.rank, v.outcome, v.is_charged, v.is_retracted, v.value, v.uncertainty, v.expected, v.expected_sd,
       v.latent_id, o.values AS further_values, o.are_retracted AS further_are_retracted
FROM v_suggestion v
CROSS JOIN LATERAL (
    SELECT array_agg(l.value ORDER BY t.position) AS values,
           array_agg(x.label_id IS NOT NULL ORDER BY t.position) AS are_retracted
    FROM campaign_target t
    LEFT JOIN suggestion_label f ON f.suggestion_id = v.suggestion_id AND f.position = t.position
    LEFT JOIN label l ON l.id = f.label_id AND l.property = t.property
    LEFT JOIN retraction x ON x.label_id = l.id
    WHERE t.campaign_id = v.campaign_id
) o
WHERE v.campaign_id = :campaign ORDER BY v.iteration, v.rank
""")

_CHARGED = text("""
SELECT reduced_formula, value FROM v_suggestion
WHERE campaign_id = :campaign AND is_charged AND NOT is_retracted ORDER BY iteration, rank
""")

_INITIAL = text(f"""
SELECT l.value, z.id AS latent_id
FROM campaign_set s
JOIN training_set_member t ON t.training_set_id = s.training_set_id
JOIN label l ON l.id = t.label_id
JOIN composition c ON c.id = t.composition_id
LEFT JOIN campaign_model m ON m.campaign_id = s.campaign_id AND m.role = 'autoencoder'
LEFT JOIN latent z ON z.model_version_id = m.model_version_id AND z.composition_id = t.composition_id
WHERE s.campaign_id = :campaign AND s.role = 'initial' AND {teaches("l")}
ORDER BY c.reduced_formula COLLATE "C"
""")

_VECTORS = text("SELECT id, vector FROM latent WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))

_FINDS = text(f"""
SELECT v.suggestion_id, v.reduced_formula, v.value, v.uncertainty, v.unit, v.iteration, v.rank, v.expected,
       v.expected_sd,
       q.is_charge_neutral AND q.is_electronegativity_balanced AS is_valid,
       (SELECT string_agg(d.name, ', ' ORDER BY d.id) FROM dataset_row r JOIN dataset d ON d.id = r.dataset_id
        WHERE r.composition_id = v.composition_id) AS known_in,
       l.source_kind, l.source, l.source_sha256, v.latent_id, n.lower_bound, n.novelty, n.analogue, n.reference,
       l.method, e.claim, e.e_above_hull_ev_per_atom, e.potential
FROM (SELECT v.*, row_number() OVER (ORDER BY {BEST_FIRST}) AS place
      FROM v_suggestion v JOIN campaign k ON k.id = v.campaign_id
      WHERE v.campaign_id = :campaign AND {IS_FIND} ORDER BY {BEST_FIRST} LIMIT :n) v
CROSS JOIN LATERAL (SELECT * FROM v_sureness n WHERE n.suggestion_id = v.suggestion_id OFFSET 0) n
CROSS JOIN LATERAL (SELECT * FROM v_claim e WHERE e.composition_id = v.composition_id OFFSET 0) e
JOIN v_label l ON l.label_id = v.label_id
LEFT JOIN verdict q ON q.composition_id = v.composition_id AND q.rule = :rule AND q.rule_version = :rule_version
ORDER BY v.place
""")

_MODELS = text("""
WITH used AS (
    SELECT role, model_version_id FROM campaign_model WHERE campaign_id = :campaign
    UNION SELECT role || ' screener', model_version_id FROM screening WHERE campaign_id = :campaign
)
SELECT u.role, m.plugin, m.id AS model_version_id, m.tensors_sha256, m.seed, m.options, m.metrics, t.n_members,
       (SELECT string_agg(name, ', ' ORDER BY name) FROM (
            SELECT d.name FROM training_set_source s JOIN dataset d ON d.id = s.dataset_id
            WHERE s.training_set_id = t.id
            UNION ALL
            SELECT k.name FROM training_set_campaign g JOIN campaign k ON k.id = g.campaign_id
            WHERE g.training_set_id = t.id) source) AS drawn_from,
       a.started_at, a.ended_at - a.started_at AS time_spent
FROM used u
JOIN model_version m ON m.id = u.model_version_id
JOIN training_set t ON t.id = m.training_set_id
JOIN activity a ON a.id = m.activity_id
ORDER BY m.kind, m.id, u.role
""")

_ATTEMPTS = text("""
SELECT a.kind, i.number AS iteration, a.outcome, a.error, a.host, a.pid, a.started_at
FROM activity a LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.campaign_id = :campaign AND a.outcome IN ('failed', 'lost') ORDER BY a.id
""")

_DECODE_FAILURES = text("""
SELECT decode_failure AS reason, count(*) AS n, min(iteration) AS first_iteration, max(iteration) AS last_iteration
FROM v_suggestion WHERE campaign_id = :campaign AND outcome = 'undecodable' GROUP BY 1 ORDER BY 2 DESC, 1
""")

_REFUSALS = text("""
SELECT outcome, reason, count(*) AS n, min(iteration) AS first_iteration, max(iteration) AS last_iteration
FROM v_suggestion WHERE campaign_id = :campaign AND reason IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
""")

_SPAN = text("""
SELECT min(a.started_at) AS first_at, max(coalesce(a.ended_at, a.started_at)) AS last_at,
       array_agg(DISTINCT a.agd_version ORDER BY a.agd_version) AS agd_versions,
       array_agg(DISTINCT a.host ORDER BY a.host) AS hosts
FROM activity a WHERE a.campaign_id = :campaign
""")

_SCREENINGS = text("""
SELECT g.id AS screening_id, g.role, g.source, g.source_sha256, g.criteria, m.plugin, m.tensors_sha256, a.started_at,
       (SELECT count(*) FROM screening_hit h WHERE h.screening_id = g.id) AS n_hits
FROM screening g JOIN model_version m ON m.id = g.model_version_id JOIN activity a ON a.id = g.activity_id
WHERE g.campaign_id = :campaign ORDER BY g.id
""")

_STAGES = text("""
SELECT g.id AS screening_id, t.position, t.name, t.n_left
FROM stage t JOIN screening g ON g.activity_id = t.activity_id AND g.role = t.role
WHERE g.campaign_id = :campaign ORDER BY g.id, t.position
""")

_HITS = text("""
SELECT screening_id, rank, reduced_formula, value, uncertainty, unit, pool_line FROM v_screening_hit
WHERE campaign_id = :campaign AND rank <= :n ORDER BY screening_id, rank
""")

_N_SHARED = text("""
SELECT count(*) FROM screening_hit a JOIN screening_hit b USING (composition_id)
WHERE a.screening_id = :first AND b.screening_id = :second
""")


def twins(tx: Transaction, campaign_id: int) -> list[str]:
    """Names of the controls of a campaign, oldest first."""
    found = tx.execute(text("SELECT name FROM campaign WHERE twin_of_id = :id ORDER BY id"), {"id": campaign_id})
    return list(found.scalars())


def facts(tx: Transaction, campaign_ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """What each campaign was set to, by id, with the metrics of its models."""
    rows = tx.execute(_FACTS, {"ids": list(campaign_ids)}).mappings()
    return {row["campaign_id"]: dict(row) for row in rows}


def merits(tx: Transaction, campaign_id: int, rule: Rule) -> dict[str, Any]:
    """Distinct compositions and finds of a campaign; a find by bound is one still when one sigma is taken off."""
    parameters = {"campaign": campaign_id, "rule": rule.name, "rule_version": rule.version}
    return dict(tx.execute(_MERITS, parameters).mappings().one())


def trace(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """Every suggestion in order: outcome, label, what the sampler expected; `further_values` of other targets."""
    return tx.execute(_TRACE, {"campaign": campaign_id}).all()


def charged(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """(reduced_formula, value) of what the campaign was charged for, in its order, as often as it was charged."""
    return tx.execute(_CHARGED, {"campaign": campaign_id}).all()


def initial_rows(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """(value, latent_id or NULL) of the initial labels that stand, by formula."""
    return tx.execute(_INITIAL, {"campaign": campaign_id}).all()


def vectors(tx: Transaction, latent_ids: Sequence[int]) -> list[list[float]]:
    """Latent vectors in the order of their ids."""
    found: dict[int, list[float]] = dict(tx.execute(_VECTORS, {"ids": list(latent_ids)}).all())
    return [found[i] for i in latent_ids]


def finds(tx: Transaction, campaign_id: int, n: int, rule: Rule) -> list[dict[str, Any]]:
    """The best finds, each with where it came from; those of a window in the order they were found."""
    parameters = {"campaign": campaign_id, "n": n, "rule": rule.name, "rule_version": rule.version}
    return [dict(row) for row in tx.execute(_FINDS, parameters).mappings()]


def models(tx: Transaction, campaign_id: int) -> list[dict[str, Any]]:
    """Model versions that a campaign and its screenings use, with metrics and what they were drawn from."""
    return [dict(row) for row in tx.execute(_MODELS, {"campaign": campaign_id}).mappings()]


def attempts(tx: Transaction, campaign_id: int) -> list[dict[str, Any]]:
    """Activities of a campaign that failed or were lost, oldest first."""
    return [dict(row) for row in tx.execute(_ATTEMPTS, {"campaign": campaign_id}).mappings()]


def barren(tx: Transaction, campaign_id: int) -> list[dict[str, Any]]:
    """Why suggestions brought no label, with how many of them and in which iterations."""
    parameters = {"campaign": campaign_id}
    undecodable = [{"outcome": "undecodable", **row} for row in tx.execute(_DECODE_FAILURES, parameters).mappings()]
    return undecodable + [dict(row) for row in tx.execute(_REFUSALS, parameters).mappings()]


def span(tx: Transaction, campaign_id: int) -> dict[str, Any]:
    """First and last activity, the versions of agd and the hosts at work."""
    return dict(tx.execute(_SPAN, {"campaign": campaign_id}).mappings().one())


def screenings(tx: Transaction, campaign_id: int, n_hits: int) -> list[dict[str, Any]]:
    """Screenings of a campaign, oldest first, each with its `stages` and its first `hits`."""
    parameters = {"campaign": campaign_id, "n": n_hits}
    found = [{**row, "stages": [], "hits": []} for row in tx.execute(_SCREENINGS, {"campaign": campaign_id}).mappings()]
    by_id = {row["screening_id"]: row for row in found}
    for stage in tx.execute(_STAGES, {"campaign": campaign_id}).mappings():
        by_id[stage["screening_id"]]["stages"].append(dict(stage))
    for hit in tx.execute(_HITS, parameters).mappings():
        by_id[hit["screening_id"]]["hits"].append(dict(hit))
    return found


def n_shared_hits(tx: Transaction, first: int, second: int) -> int:
    """Compositions that two screenings both picked."""
    return int(tx.execute(_N_SHARED, {"first": first, "second": second}).scalar_one())
