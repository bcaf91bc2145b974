"""Labels by hand: measurements and retractions."""

from collections.abc import Mapping

from sqlalchemy import insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.tables import label, measurement, retraction


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


def store_retraction(tx: Transaction, label_id: int, reason: str, activity_id: int) -> bool:
    """Insert a retraction; False where the label was retracted before."""
    new = upsert(retraction).values(label_id=label_id, reason=reason, activity_id=activity_id)
    return tx.scalar(new.on_conflict_do_nothing().returning(retraction.c.label_id)) is not None
