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
    values = [column for target in targets for column in (f"{target.property} ({target.unit})", "+-")]
    if len(targets) == 1:
        columns = ["formula", *values, "at least", "find", "novelty", "at", "predicted"]
        return show.table(columns, _of_one(rows), title=title)
    predicted = [f"predicted {target.property}" for target in targets]
    return show.table(
        ["formula", *values, "find", "front", "novelty", "at", *predicted], _of_several(rows), title=title
    )


def footnote(rows: "Sequence[Suggested]") -> str | None:
    """What the words of the table mean; None where it has none of them."""
    reference = rows[0].reference if rows else None
    known = None if reference is None else f"known: what {reference} lists; like: one element away from such a formula"
    return None if not rows else "; ".join(filter(None, (known, "at: iteration.rank")))


def _of_one(rows: "Sequence[Suggested]") -> Iterator[list[object]]:
    for row in rows:
        value = (row.reduced_formula, row.value, row.uncertainty, row.lower_bound)
        yield [*value, row.is_find, _novelty(row), _place(row), row.expected]


def _of_several(rows: "Sequence[Suggested]") -> Iterator[list[object]]:
    for row in rows:
        values = [cell for one in row.properties for cell in (one.value, one.uncertainty)]
        judged = [row.is_find, row.is_on_front, _novelty(row), _place(row)]
        yield [row.reduced_formula, *values, *judged, *(one.expected for one in row.properties)]


def _novelty(row: "Suggested") -> str | None:
    """Its class in a word, with the known formula that it is one substitution from."""
    if row.analogue is not None:
        return f"like {row.analogue}"
    return None if row.novelty is None else row.novelty.removesuffix(" formula")


def _place(row: "Suggested") -> str:
    return f"{row.iteration}.{row.rank}"
