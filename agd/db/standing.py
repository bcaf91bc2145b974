"""What labels and suggestions count for, in SQL; `agd.target` and `agd.accounting` say it in Python.

The views say of each suggestion whether it is charged and whether its label lies in the target; what they leave open
is said here, of `v_suggestion v` and `campaign k` by these aliases.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction
from agd.plausible import ANY, RANGES, SMALLEST


def is_plausible(alias: str, property_of: str | None = None) -> str:
    """SQL: whether `value` of a row lies where values of the property lie, which may be that of another row."""
    known = " ".join(
        f"WHEN '{name}' THEN {alias}.value BETWEEN {low!r} AND {high!r}" for name, (low, high) in RANGES.items()
    )
    lies_in_range = (
        f"CASE {property_of or alias}.property {known} ELSE {alias}.value BETWEEN {ANY.low!r} AND {ANY.high!r} END"
    )
    return f"({lies_in_range} AND ({alias}.value = 0 OR abs({alias}.value) >= {SMALLEST!r}))"


def stands(alias: str) -> str:
    """SQL: whether a row of `label` was not retracted."""
    return f"NOT EXISTS (SELECT FROM retraction withdrawn WHERE withdrawn.label_id = {alias}.id)"


def teaches(alias: str) -> str:
    """SQL: whether something may learn from a row of `label`: it stands, and can be a value of its property."""
    return f"({stands(alias)} AND {is_plausible(alias)})"


IS_RESULT: Final = f"(v.outcome = 'new' AND NOT v.is_retracted AND {is_plausible('v', 'k')})"
"""A distinct composition with a label that stands and can be a value."""

IS_FIND: Final = f"({IS_RESULT} AND v.is_find)"
"""A result in the target."""

BEST_FIRST: Final = """
CASE WHEN k.target_low IS NULL THEN -v.value WHEN k.target_high IS NULL THEN v.value
     ELSE -greatest(k.target_low - v.value, v.value - k.target_high, 0) END DESC, v.iteration, v.rank"""
"""The order of results: by the objective of the search, the first of equals first."""


def is_awaited(alias: str) -> str:
    """SQL: whether a row of `v_suggestion` or `v_suggestion_state` waits for an answer.

    Where answers come from outside, a composition that somebody has measured waits no more.
    """
    return (
        f"({alias}.outcome = 'new' AND {alias}.label_id IS NULL"
        " AND (k.spec #>> '{oracle,kind}' IS DISTINCT FROM 'external' OR NOT EXISTS (SELECT FROM label l"
        f" WHERE l.composition_id = {alias}.composition_id AND l.property = k.property"
        f" AND l.measurement_id IS NOT NULL AND {stands('l')})))"
    )


def implausible_labels(tx: Transaction) -> Sequence[AnyRow]:
    """Those that stand and teach nothing: (label_id, reduced_formula, property, value, unit, source)."""
    return tx.execute(
        text(
            "SELECT label_id, reduced_formula, property, value, unit, source FROM v_label l"
            f" WHERE NOT is_retracted AND NOT {is_plausible('l')} ORDER BY label_id"
        )
    ).all()
