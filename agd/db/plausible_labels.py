"""What labels and suggestions count for, in SQL; `agd.target` and `agd.accounting` say it in Python.

The view `v_suggestion_judged` says it of each suggestion, and `v_suggestion` and `v_iteration` have it from there; here
is what queries ask of a label, and of `v_suggestion v` and `campaign k` by these aliases.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction


def is_plausible(alias: str) -> str:
    """SQL: whether `value` of a row lies where values of its `property` lie: `agd.plausible`."""
    return f"agd_is_plausible({alias}.property, {alias}.value)"


def stands(alias: str) -> str:
    """SQL: whether a row of `label` was not retracted."""
    return f"NOT EXISTS (SELECT FROM retraction withdrawn WHERE withdrawn.label_id = {alias}.id)"


def teaches(alias: str) -> str:
    """SQL: whether something may learn from a row of `label`: it stands, and can be a value of its property."""
    return f"({stands(alias)} AND {is_plausible(alias)})"


IS_RESULT: Final = "v.is_result"
"""A distinct composition with a label that stands and can be a value."""

IS_FIND: Final = "(v.is_result AND v.is_find)"
"""A result in the target."""

BEST_FIRST: Final = "v.is_feasible DESC, agd_objective(k.target_low, k.target_high, v.value) DESC, v.iteration, v.rank"
"""The order of results: those that meet all further targets, then the others; by the objective, the first of equals
first (the rule of Deb, doi 10.1016/S0045-7825(99)00389-8). So finds come before all else."""


def implausible_labels(tx: Transaction) -> Sequence[AnyRow]:
    """Those that stand and teach nothing: (label_id, reduced_formula, property, value, unit, source)."""
    return tx.execute(
        text(
            "SELECT label_id, reduced_formula, property, value, unit, source FROM v_label l"
            f" WHERE NOT is_retracted AND NOT {is_plausible('l')} ORDER BY label_id"
        )
    ).all()
