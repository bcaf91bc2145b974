"""Which labels teach something: those that were not retracted and can be values of their property."""

from collections.abc import Sequence

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction
from agd.plausible import ANY, RANGES, SMALLEST


def is_plausible(alias: str) -> str:
    """SQL: whether the value of a row of `label`, or of `v_label`, lies where values of its property lie."""
    known = " ".join(
        f"WHEN '{name}' THEN {alias}.value BETWEEN {low!r} AND {high!r}" for name, (low, high) in RANGES.items()
    )
    lies_in_range = f"CASE {alias}.property {known} ELSE {alias}.value BETWEEN {ANY.low!r} AND {ANY.high!r} END"
    return f"({lies_in_range} AND ({alias}.value = 0 OR abs({alias}.value) >= {SMALLEST!r}))"


def implausible_labels(tx: Transaction) -> Sequence[AnyRow]:
    """Those that stand and teach nothing: (label_id, reduced_formula, property, value, unit, source)."""
    return tx.execute(
        text(
            "SELECT label_id, reduced_formula, property, value, unit, source FROM v_label l"
            f" WHERE NOT is_retracted AND NOT {is_plausible('l')} ORDER BY label_id"
        )
    ).all()
