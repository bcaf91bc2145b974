"""Methods: how values come about, and how much their word weighs."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.tables import method

_OVERVIEW = text("""
SELECT m.name, m.kind, m.fidelity, m.description, a.started_at AS added_at,
       (SELECT count(*) FROM dataset d WHERE d.method = m.name AND d.property IS NOT NULL) AS n_datasets
FROM method m LEFT JOIN activity a ON a.id = m.activity_id ORDER BY m.fidelity DESC, m.name COLLATE "C"
""")

_OF_LABELS = text("""
SELECT v.reduced_formula, v.method, CASE WHEN v.dataset_id IS NOT NULL THEN v.source END AS dataset
FROM v_label v
WHERE v.label_id IN (
    SELECT t.label_id FROM campaign_set q JOIN training_set_member t USING (training_set_id)
    WHERE q.campaign_id = :campaign AND q.role = 'initial'
    UNION ALL
    SELECT s.label_id FROM v_suggestion_state s JOIN iteration i ON i.id = s.iteration_id
    WHERE s.campaign_id = :campaign AND i.number < :number)
""")


def overview(tx: Transaction) -> Sequence[AnyRow]:
    """Every method (name, kind, fidelity, description, added_at, n_datasets), the highest fidelity first."""
    return tx.execute(_OVERVIEW).all()


def find(tx: Transaction, name: str) -> AnyRow | None:
    """The method of that name."""
    return tx.execute(select(method).where(method.c.name == name)).one_or_none()


def store(tx: Transaction, values: Mapping[str, object], activity_id: int) -> bool:
    """Insert a method; False where one of that name is there."""
    new = upsert(method).values(**values, activity_id=activity_id).on_conflict_do_nothing()
    return tx.scalar(new.returning(method.c.name)) is not None


def of_labels(tx: Transaction, campaign_id: int, number: int) -> Sequence[AnyRow]:
    """(reduced_formula, method, dataset) of the labels that a campaign has before an iteration."""
    return tx.execute(_OF_LABELS, {"campaign": campaign_id, "number": number}).all()
