"""The best of a campaign, with what an oracle says of their stability."""

from collections.abc import Sequence
from dataclasses import replace

from agd.steps.reading import overviews
from agd.steps.structures.predicted_hulls import near_hull, predicted_by_newest
from agd.views import Suggested
from agd.work.workspace import Workspace


def best_finds(
    workspace: Workspace, campaign_id: int, n: int, level: int = 0, max_predicted_hull: float | None = None
) -> list[Suggested]:
    """The best labelled compositions of a campaign, by its target, whose claim is of that level or a higher one.

    Where the record has an oracle of the energy above the hull, each has what it predicts, of which nothing is kept;
    with `max_predicted_hull` only those within so many eV/atom are told.

    Raises:
        NotFoundError: these are asked for, and there is no such oracle.
    """

    def fetch(n_fetched: int) -> list[Suggested]:
        with workspace.database.read() as tx:
            return overviews.top_finds(tx, campaign_id, n_fetched, level)

    if max_predicted_hull is None:
        return _with_predictions(workspace, fetch(n))
    near = near_hull(workspace, fetch, _formula_of, n, max_ev_per_atom=max_predicted_hull, is_kept=False)
    return _with_predictions(workspace, near)


def _with_predictions(workspace: Workspace, rows: Sequence[Suggested]) -> list[Suggested]:
    said = predicted_by_newest(workspace, [_formula_of(row) for row in rows], is_kept=False)
    return [
        replace(row, predicted_e_above_hull_ev_per_atom=said[_formula_of(row)]) if _formula_of(row) in said else row
        for row in rows
    ]


def _formula_of(row: Suggested) -> str:
    assert row.reduced_formula is not None  # noqa: S101  a result is a composition
    return row.reduced_formula
