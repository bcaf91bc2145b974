"""Labels by hand: measurements and retractions."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.tables import label, measurement, retraction

_RESTING: Final = {
    "campaigns": """
SELECT campaign, count(*) AS n_suggested, min(iteration) AS first_iteration, bool_or(is_charged) AS is_charged,
       bool_or(is_find) AS is_find, false AS is_initial
FROM v_suggestion v WHERE label_id = :label
OR EXISTS (SELECT FROM suggestion_label f WHERE f.suggestion_id = v.suggestion_id AND f.label_id = :label)
GROUP BY campaign
UNION ALL
SELECT k.name, 0, NULL, false, false, true FROM campaign_set q JOIN campaign k ON k.id = q.campaign_id
JOIN training_set_member t USING (training_set_id)
WHERE q.role LIKE 'initial%' AND t.composition_id = :composition AND t.label_id = :label
ORDER BY campaign, is_initial
""",
    "models": """
SELECT m.id AS model_version_id, m.kind, m.plugin, m.tensors_sha256, t.is_held_out,
       ARRAY(SELECT k.name FROM campaign_model u JOIN campaign k ON k.id = u.campaign_id
             WHERE u.model_version_id = m.id ORDER BY k.name) AS campaigns,
       (SELECT count(*) FROM label l WHERE l.model_version_id = m.id) AS n_answers,
       (SELECT count(*) FROM screening g WHERE g.model_version_id = m.id) AS n_screenings,
       (SELECT count(*) FROM screening g JOIN screening_hit h ON h.screening_id = g.id
        WHERE g.model_version_id = m.id) AS n_hits,
       ARRAY(SELECT DISTINCT d.name FROM evaluation e JOIN dataset d ON d.id = e.dataset_id
             WHERE e.model_version_id = m.id ORDER BY d.name) AS evaluated_on
FROM model_version m JOIN (
    SELECT training_set_id, is_held_out FROM training_set_member
    WHERE composition_id = :composition AND label_id = :label
    UNION ALL SELECT training_set_id, is_held_out FROM training_structure WHERE label_id = :label
) t USING (training_set_id) ORDER BY m.id
""",
    "evaluations": """
SELECT e.model_version_id, m.kind, m.plugin, d.name AS dataset
FROM label l JOIN evaluation e ON e.dataset_id = l.dataset_id AND e.property = l.property
JOIN model_version m ON m.id = e.model_version_id JOIN dataset d ON d.id = e.dataset_id
WHERE l.id = :label GROUP BY e.model_version_id, m.kind, m.plugin, d.name ORDER BY e.model_version_id
""",
}
"""What was made with a label: by whom it was asked for or known, what learned from it, what was judged by it."""


def store_measurement(
    tx: Transaction,
    key: Mapping[str, object],
    note: str | None,
    value: float,
    uncertainty: float | None,
    activity_id: int,
) -> int | None:
    """Insert a measurement with its label and return the label's id, None where that measurement is there already.

    `key` is (composition_id, property, operator, measured_on, replicate).
    """
    new = upsert(measurement).values(**key, note=note, activity_id=activity_id).on_conflict_do_nothing()
    made = tx.execute(new.returning(measurement.c.id)).scalar_one_or_none()
    if made is None:
        return None
    statement = insert(label).values(
        composition_id=key["composition_id"],
        property=key["property"],
        value=value,
        uncertainty=uncertainty,
        measurement_id=made,
        activity_id=activity_id,
    )
    return int(tx.execute(statement.returning(label.c.id)).scalar_one())


def measured(tx: Transaction, key: Mapping[str, object]) -> AnyRow | None:
    """The label (id, value, uncertainty, is_retracted, reason) of the measurement with this key."""
    statement = (
        select(
            label.c.id,
            label.c.value,
            label.c.uncertainty,
            retraction.c.label_id.is_not(None).label("is_retracted"),
            retraction.c.reason,
        )
        .join(measurement, measurement.c.id == label.c.measurement_id)
        .outerjoin(retraction, retraction.c.label_id == label.c.id)
        .where(*(measurement.c[column] == value for column, value in key.items()))
    )
    return tx.execute(statement).one_or_none()


def find(tx: Transaction, label_id: int) -> AnyRow | None:
    """The label's row of v_label."""
    return tx.execute(text("SELECT * FROM v_label WHERE label_id = :label"), {"label": label_id}).one_or_none()


def resting(tx: Transaction, label_id: int, composition_id: int) -> dict[str, Sequence[AnyRow]]:
    """The campaigns, model versions and evaluations that used a label; a held-out one only measured its model."""
    values = {"label": label_id, "composition": composition_id}
    return {what: tx.execute(text(query), values).all() for what, query in _RESTING.items()}


def store_retraction(tx: Transaction, label_id: int, reason: str, activity_id: int) -> bool:
    """Insert a retraction; False where the label was retracted before."""
    new = upsert(retraction).values(label_id=label_id, reason=reason, activity_id=activity_id)
    return tx.scalar(new.on_conflict_do_nothing().returning(retraction.c.label_id)) is not None
