"""How `agd top` looks: each property in its own unit, what is a find, and what is on the front of several."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from agd.claims import LEVELS
from agd.cli import show

if TYPE_CHECKING:
    from agd.target import Target
    from agd.views import Suggested

MaxPredictedHull = Annotated[
    float | None,
    typer.Option(
        metavar="EV", help="Only what the newest oracle of e_above_hull predicts within so many eV/atom of the hull."
    ),
]


def top_table(title: str, targets: "Sequence[Target]", rows: "Sequence[Suggested]") -> Table:
    """The best of a campaign by its targets; what the sampler expected is in the unit of the property, too.

    Claims are told where one goes beyond the formula, predicted energies above the hull where there are any.
    """
    if len(targets) == 1:
        value = f"{targets[0].property} ({targets[0].unit})"
        columns, shown = ["formula", value, "+-", "at least", "find", "novelty", "at", "predicted"], list(_of_one(rows))
    else:
        columns = ["formula", *(f"{target.property} ({target.unit})" for target in targets), "find", "novelty", "at"]
        shown = list(_of_several(rows))
    if any((row.claim_level or 0) > LEVELS.index("valid") for row in rows):
        columns.append("claim")
        shown = [[*cells, row.claim] for cells, row in zip(shown, rows, strict=True)]
    if any(row.predicted_e_above_hull_ev_per_atom is not None for row in rows):
        columns.append("above hull?")
        shown = [[*cells, row.predicted_e_above_hull_ev_per_atom] for cells, row in zip(shown, rows, strict=True)]
    return show.table(columns, shown, title=title)


def footnote(rows: "Sequence[Suggested]") -> str | None:
    """What the words of the table mean; None where it has none of them."""
    reference = rows[0].reference if rows else None
    known = None if reference is None else f"known: what {reference} lists; like: one element away from such a formula"
    front = "front: a find that no other exceeds throughout" if any(row.is_on_front for row in rows) else None
    is_predicted = any(row.predicted_e_above_hull_ev_per_atom is not None for row in rows)
    hull = "above hull?: predicted from the formula, in eV/atom" if is_predicted else None
    return "; ".join(filter(None, (known, front, "at: iteration.rank", hull))) if rows else None


def _of_one(rows: "Sequence[Suggested]") -> Iterator[list[object]]:
    for row in rows:
        value = (row.reduced_formula, row.value, row.uncertainty, row.lower_bound)
        yield [*value, row.is_find, _novelty(row), _place(row), row.expected]


def _of_several(rows: "Sequence[Suggested]") -> Iterator[list[object]]:
    """What is on the front says so in the place of a plain find; what was expected is told by `agd why`."""
    for row in rows:
        values = [_with_error(one.value, one.uncertainty) for one in row.properties]
        judged = "front" if row.is_on_front and row.is_find else row.is_find
        yield [row.reduced_formula, *values, judged, _novelty(row), _place(row)]


def _with_error(value: float | None, uncertainty: float | None) -> str:
    return show.text(value) if uncertainty is None else f"{show.text(value)} +- {show.text(uncertainty)}"


def _novelty(row: "Suggested") -> str | None:
    """Its class in a word, with the known formula that it is one substitution from."""
    if row.analogue is not None:
        return f"like {row.analogue}"
    return None if row.novelty is None else row.novelty.removesuffix(" formula")


def _place(row: "Suggested") -> str:
    return f"{row.iteration}.{row.rank}"
