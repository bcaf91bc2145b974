"""Rows that leave the record: one query for each thing that can be exported, streamed by a server-side cursor."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import text

from agd.db.connection import Transaction

_LATENT = ", z.vector AS latent"

_SUGGESTIONS = """
SELECT v.campaign, v.iteration, v.rank, v.proposed, v.outcome, v.reason, v.decode_failure,
       v.reduced_formula, c.chemical_system, v.value, v.uncertainty, v.unit,
       v.is_find, v.is_charged, v.is_retracted,
       CASE WHEN l.dataset_id IS NOT NULL THEN 'dataset' WHEN l.model_version_id IS NOT NULL THEN 'oracle'
            WHEN l.measurement_id IS NOT NULL THEN 'measurement' END AS label_source_kind,
       coalesce(d.name, m.plugin, e.operator) AS label_source,
       coalesce(d.source_sha256, m.tensors_sha256) AS label_source_sha256, v.label_id,
       v.posterior_mean, v.posterior_sd, v.acquisition, v.seed,
       v.suggested_at, f.ended_at AS decoded_at, g.ended_at AS labelled_at, v.agd_version, v.host,
       v.autoencoder_sha256, v.latent_id, v.is_known,
       (SELECT string_agg(o.reduced_formula || ': ' || t.operator, '; ' ORDER BY o.reduced_formula COLLATE "C")
        FROM suggestion_parent t JOIN composition o ON o.id = t.composition_id
        WHERE t.suggestion_id = v.suggestion_id) AS made_from,
       q.is_charge_neutral, q.is_electronegativity_balanced, w.is_electronegativity_balanced AS is_smact_valid,
       v.expected, v.expected_sd,
       (SELECT string_agg(l.property || ' ' || l.value || ' ' || p.unit, '; ' ORDER BY t.position)
        FROM suggestion_label t JOIN label l ON l.id = t.label_id JOIN property p ON p.name = l.property
        WHERE t.suggestion_id = v.suggestion_id) AS further_labels,
       (SELECT n.claim FROM v_claim n WHERE n.composition_id = v.composition_id OFFSET 0) AS claim{latent}
FROM v_suggestion v
JOIN v_suggestion_state s ON s.suggestion_id = v.suggestion_id
LEFT JOIN latent z ON z.id = v.latent_id
LEFT JOIN composition c ON c.id = v.composition_id
LEFT JOIN label l ON l.id = v.label_id
LEFT JOIN dataset d ON d.id = l.dataset_id
LEFT JOIN model_version m ON m.id = l.model_version_id
LEFT JOIN measurement e ON e.id = l.measurement_id
LEFT JOIN activity f ON f.id = s.decode_activity_id
LEFT JOIN activity g ON g.id = s.label_activity_id
LEFT JOIN verdict q ON q.composition_id = v.composition_id AND q.rule = :rule AND q.rule_version = :rule_version
LEFT JOIN verdict w ON w.composition_id = v.composition_id AND w.rule = :smact AND w.rule_version = :smact_version
WHERE v.campaign_id = :campaign
ORDER BY v.iteration, v.rank
"""

_LABELS = """
WITH used AS (
    SELECT t.label_id, 'initial' AS origin, NULL::integer AS iteration, NULL::integer AS rank
    FROM campaign_set q JOIN training_set_member t USING (training_set_id)
    WHERE q.campaign_id = :campaign AND q.role LIKE 'initial%'
    UNION ALL
    SELECT v.label_id, 'suggestion', v.iteration, v.rank FROM v_suggestion v
    WHERE v.campaign_id = :campaign AND v.outcome = 'new' AND v.label_id IS NOT NULL
    UNION ALL
    SELECT f.label_id, 'suggestion', v.iteration, v.rank
    FROM v_suggestion v JOIN suggestion_label f ON f.suggestion_id = v.suggestion_id
    WHERE v.campaign_id = :campaign AND v.outcome = 'new'
)
SELECT k.name AS campaign, u.origin, u.iteration, u.rank, l.reduced_formula, l.property, l.value, l.unit,
       l.uncertainty, l.source_kind, l.source, l.source_sha256, l.source_line, l.source_formula, l.measured_on,
       l.replicate, l.note, l.is_retracted, l.retraction_reason, l.started_at AS labelled_at, l.agd_version, l.host,
       l.label_id, l.method, l.fidelity
FROM used u JOIN v_label l ON l.label_id = u.label_id JOIN campaign k ON k.id = :campaign
ORDER BY u.iteration NULLS FIRST, u.rank, l.reduced_formula COLLATE "C"
"""

_FAILURES = """
SELECT * FROM (
    SELECT v.campaign, v.outcome AS kind, v.iteration, v.rank, v.reduced_formula,
           coalesce(v.decode_failure, v.reason) AS reason, v.suggested_at AS started_at, v.agd_version, v.host,
           v.latent_id{latent}
    FROM v_suggestion v LEFT JOIN latent z ON z.id = v.latent_id
    WHERE v.campaign_id = :campaign AND v.outcome IN ('undecodable', 'rejected', 'unanswered')
    UNION ALL
    SELECT k.name, a.kind || ' ' || a.outcome, i.number, NULL, NULL, a.error, a.started_at, a.agd_version, a.host,
           NULL{no_latent}
    FROM activity a JOIN campaign k ON k.id = a.campaign_id LEFT JOIN iteration i ON i.id = a.iteration_id
    WHERE k.id = :campaign AND a.outcome IN ('failed', 'lost')
) failure
ORDER BY iteration NULLS FIRST, rank NULLS LAST, started_at
"""

_HITS = """
SELECT campaign, role, rank, reduced_formula, value, unit, uncertainty, pool, pool_line, pool_formula, pool_sha256,
       screener, screener_sha256, screened_at, agd_version, host, screening_id,
       (SELECT n.claim FROM v_claim n WHERE n.composition_id = v.composition_id OFFSET 0) AS claim
FROM v_screening_hit v WHERE campaign_id = :campaign ORDER BY screening_id, rank
"""


# What a driver calls its types (pg_type.oid), in the words of this module.
_KINDS = {16: "bool", 20: "int", 23: "int", 701: "float", 1021: "vector", 1082: "date", 1184: "time"}


class Stream(NamedTuple):
    """Rows on their way out: the kind of each column by its name, in order, and the rows in chunks.

    Kinds are bool, int, float, text, date, time (with its zone) and vector (of float32).
    """

    columns: dict[str, str]
    chunks: Iterator[Sequence[tuple[Any, ...]]]


@contextmanager
def rows(
    tx: Transaction, what: str, campaign_id: int, rules: Mapping[str, object], *, latents: bool, chunk: int
) -> Iterator[Stream]:
    """Stream `suggestions`, `labels`, `failures` or `hits` of a campaign, up to `chunk` rows at a time.

    `rules` holds the keys of the two verdict rules that suggestions are shown with: `rule`, `rule_version`, `smact`,
    `smact_version`.
    """
    query = {"suggestions": _SUGGESTIONS, "labels": _LABELS, "failures": _FAILURES, "hits": _HITS}[what]
    query = query.format(latent=_LATENT if latents else "", no_latent=", NULL" if latents else "")
    parameters = {"campaign": campaign_id, **(rules if what == "suggestions" else {})}
    found = tx.execute(text(query), parameters, execution_options={"stream_results": True, "max_row_buffer": chunk})
    try:
        described: Sequence[Any] = found.cursor.description or () if found.cursor is not None else ()
        columns = {column[0]: _KINDS.get(column[1], "text") for column in described}
        yield Stream(columns, (list(map(tuple, part)) for part in found.partitions(chunk)))
    finally:
        found.close()
