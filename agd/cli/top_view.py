"""How `agd top` looks: each property in its own unit, what is a find, and what is on the front of several."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from agd.cli import show

if TYPE_CHECKING:
    from agd.target import Target
    from agd.views import Suggested


def top_table(title: str, targets: "Sequence[Target]", rows: "Sequence[Suggested]") -> Table:
    """The best of a campaign by its targets; what the sampler expected is in the unit of the property, too."""
    where = ["novelty", "like", "iteration", "rank"]
    values = [column for target in targets for column in (f"{target.property} ({target.unit})", "+-")]
    if len(targets) == 1:
        columns = ["formula", *values, "lower bound", "find", *where, "predicted"]
        keys = ["reduced_formula", "value", "uncertainty", "lower_bound", "is_find", "novelty", "analogue"]
        keys += ["iteration", "rank", "expected"]
        return show.table(columns, show.cells(rows, keys), title=title)
    columns = ["formula", *values, "find", "front", *where, *(f"predicted {target.property}" for target in targets)]
    return show.table(columns, _of_several(rows), title=title)


def _of_several(rows: "Sequence[Suggested]") -> Iterator[list[object]]:
    for row in rows:
        values = [cell for one in row.properties for cell in (one.value, one.uncertainty)]
        judged = [row.is_find, row.is_on_front, row.novelty, row.analogue, row.iteration, row.rank]
        yield [row.reduced_formula, *values, *judged, *(one.expected for one in row.properties)]
