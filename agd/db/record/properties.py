"""What campaigns seek besides their first property: targets, labels, and what samplers expected."""

from collections.abc import Sequence

from sqlalchemy import Table, insert, text

from agd.db.connection import Transaction
from agd.db.plausible_labels import teaches
from agd.db.tables import campaign_target, suggestion_label

_VALUES = text(f"""
SELECT c.reduced_formula, l.value FROM (
    SELECT t.label_id FROM campaign_set q JOIN training_set_member t USING (training_set_id)
    WHERE q.campaign_id = :campaign AND q.role = :role
    UNION
    SELECT f.label_id FROM suggestion_label f JOIN suggestion s ON s.id = f.suggestion_id
    JOIN iteration i ON i.id = s.iteration_id
    WHERE s.campaign_id = :campaign AND i.number < :before AND f.position = :position
) known
JOIN label l ON l.id = known.label_id JOIN composition c ON c.id = l.composition_id
WHERE {teaches("l")}
""")

_EXPECTED = text("""
INSERT INTO suggestion_expectation (suggestion_id, position, mean, sd, activity_id)
SELECT s.id, :position, :mean, :sd, :activity FROM suggestion s WHERE s.iteration_id = :iteration AND s.rank = :rank
""")


def store_targets(
    tx: Transaction,
    campaign_id: int,
    rows: Sequence[tuple[int, str, float | None, float | None]],
    activity_id: int,
) -> None:
    """Insert further targets of a campaign: (position, property, low, high)."""
    made_by = {"campaign_id": campaign_id, "activity_id": activity_id}
    _store(tx, campaign_target, ("position", "property", "low", "high"), rows, made_by)


def store_labels(tx: Transaction, activity_id: int, rows: Sequence[tuple[int, int, int, int]]) -> None:
    """Insert further labels of suggestions: (suggestion id, position, label id, composition id)."""
    keys = ("suggestion_id", "position", "label_id", "composition_id")
    _store(tx, suggestion_label, keys, rows, {"activity_id": activity_id})


def store_expectations(
    tx: Transaction, activity_id: int, iteration_id: int, rows: Sequence[tuple[int, int, float, float]]
) -> None:
    """Insert (rank, position, mean, sd) of the suggestions of an iteration, in the property's unit."""
    keys = ("rank", "position", "mean", "sd")
    of_all = {"activity": activity_id, "iteration": iteration_id}
    if rows:
        tx.execute(_EXPECTED, [dict(zip(keys, row, strict=True)) | of_all for row in rows])


def values(tx: Transaction, campaign_id: int, position: int, initial_role: str, before: int) -> dict[str, float]:
    """Values of a further property that a campaign knows before an iteration, by formula: of labels that stand.

    Those of its initial rows, as far as they were known, and those that its suggestions brought.
    """
    keys = {"campaign": campaign_id, "position": position, "role": initial_role, "before": before}
    return dict(tx.execute(_VALUES, keys).all())


def _store(
    tx: Transaction, table: Table, keys: Sequence[str], rows: Sequence[tuple[object, ...]], made_by: dict[str, int]
) -> None:
    if rows:
        tx.execute(insert(table), [dict(zip(keys, row, strict=True)) | made_by for row in rows])
