"""Stages: how many an activity let in and left at each, in order. One that makes several screenings counts by role."""

from collections.abc import Iterable, Sequence

from sqlalchemy import insert, select

from agd.db.connection import AnyRow, Transaction
from agd.db.record.datasets import copy_in
from agd.db.tables import stage


def store(tx: Transaction, activity_id: int, stages: Sequence[tuple[str, int]], role: str = "") -> None:
    """Insert (name, number left) of each stage, in order; what one leaves comes into the next."""
    n_in = [n_left for _, n_left in (stages[0], *stages)]
    rows = [
        {"activity_id": activity_id, "role": role, "position": position, "name": name, "n_in": before, "n_left": n_left}
        for position, (before, (name, n_left)) in enumerate(zip(n_in, stages, strict=False), start=1)
    ]
    tx.execute(insert(stage), rows)


def store_refused(tx: Transaction, activity_id: int, rows: Iterable[tuple[str, str]]) -> None:
    """Insert (reason, reduced formula) of a sample of what was refused at its stages."""
    columns = ("activity_id", "reason", "reduced_formula")
    copy_in(tx, "rejection_sample", columns, ((activity_id, *row) for row in rows))


def of(tx: Transaction, activity_id: int, role: str = "") -> Sequence[AnyRow]:
    """(name, n_in, n_left) in order."""
    found = select(stage.c.name, stage.c.n_in, stage.c.n_left).where(
        stage.c.activity_id == activity_id, stage.c.role == role
    )
    return tx.execute(found.order_by(stage.c.position)).all()
