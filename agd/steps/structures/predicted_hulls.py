"""Stability from the formula: what an oracle of the energy above the hull says before any structure is sought."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from agd.db.connection import AnyRow
from agd.db.record import activities, predicted_hulls
from agd.errors import NotFoundError
from agd.nets.threads import limited_threads
from agd.plausible import plausible_range
from agd.steps.data.compositions import counts_of
from agd.work.leases import recorded
from agd.work.workspace import Workspace

_Row = TypeVar("_Row")

_CURE = (
    "the record has no oracle of e_above_hull: import energies above the hull (`agd data import FILE --property "
    "e_above_hull --unit eV/atom ...`) and train one (`agd train oracle --dataset NAME --kind extra_trees -o "
    "answer=median`)"
)


def hull_oracle(workspace: Workspace) -> AnyRow | None:
    """The newest oracle of the energy above the hull; None where there is none."""
    with workspace.database.read() as tx:
        return predicted_hulls.newest(tx)


def predicted(workspace: Workspace, oracle: AnyRow, formulas: Sequence[str], *, is_kept: bool) -> dict[str, float]:
    """The energy above the hull in eV/atom that an oracle predicts, by reduced formula.

    What it learned from, it answers by models that had not seen it. It is asked for what it was not asked before; what
    `is_kept` becomes a label, where the record has the composition.
    """
    wanted = list(dict.fromkeys(formulas))
    with workspace.database.read() as tx:
        known = predicted_hulls.answers(tx, oracle.id, wanted)
    asked = [formula for formula in wanted if formula not in known]
    if not asked:
        return known
    if not is_kept:
        return known | {formula: value for formula, value, _ in _answers(workspace, oracle, asked)}
    with recorded(workspace, "label") as activity_id:
        said = _answers(workspace, oracle, asked)
        with workspace.database.transaction() as tx:
            ids = predicted_hulls.composition_ids(tx, asked)
            rows = [
                {
                    "composition_id": ids[formula],
                    "value": value,
                    "uncertainty": uncertainty,
                    "model_version_id": oracle.id,
                    "activity_id": activity_id,
                }
                for formula, value, uncertainty in said
                if formula in ids
            ]
            if rows:
                predicted_hulls.store(tx, rows)
            activities.finish(tx, activity_id)
    return known | {formula: value for formula, value, _ in said}


def near_hull(
    workspace: Workspace,
    fetch: Callable[[int], Sequence[_Row]],
    formula_of: Callable[[_Row], str],
    n: int,
    *,
    max_ev_per_atom: float,
    is_kept: bool,
) -> list[_Row]:
    """The first `n` rows whose formula is predicted to lie so near to the hull; `fetch` gives the first of all rows.

    Raises:
        NotFoundError: there is no such oracle.
    """
    oracle = hull_oracle(workspace)
    if oracle is None:
        raise NotFoundError(f"--max-predicted-hull: {_CURE}")
    n_fetched = n
    while True:
        rows = fetch(n_fetched)
        said = predicted(workspace, oracle, [formula_of(row) for row in rows], is_kept=is_kept)
        near = [row for row in rows if said.get(formula_of(row), np.inf) <= max_ev_per_atom]
        if len(near) >= n or len(rows) < n_fetched:
            return near[:n]
        n_fetched *= 4


def predicted_by_newest(workspace: Workspace, formulas: Sequence[str], *, is_kept: bool) -> Mapping[str, float]:
    """What the newest oracle predicts, by formula; nothing where there is none."""
    oracle = hull_oracle(workspace)
    return {} if oracle is None or not formulas else predicted(workspace, oracle, formulas, is_kept=is_kept)


def _answers(workspace: Workspace, oracle: AnyRow, formulas: Sequence[str]) -> list[tuple[str, float, float]]:
    """(formula, value, uncertainty) of those that have an answer that can be one."""
    with limited_threads(1):
        said = workspace.oracle(oracle.id).label(counts_of(formulas))
    possible = plausible_range(predicted_hulls.PROPERTY)
    rows = zip(formulas, said.values.tolist(), said.uncertainties.tolist(), strict=True)
    return [row for row in rows if row[1] in possible]
