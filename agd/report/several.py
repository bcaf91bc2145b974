"""What a page says of several properties together: where their labels lie, the front, and each of the best finds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agd.report import words
from agd.report.drawing import BLUE, GREEN, GREY, VERMILLION, as_svg, key
from agd.report.markup import Markup, element, figure, formula, table
from agd.report.material import Material
from agd.views import TargetProgress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from agd.db.connection import AnyRow


def together(found: Material) -> list[Markup]:
    """The section of a campaign that seeks several properties; nothing of one that seeks one."""
    targets = found.progress.targets
    if not targets or not found.points:
        return []
    names = [f"{words.property_name(one.property)}, {one.unit}" for one in targets]
    n_on_front, n_finds = sum(row.is_on_front for row in found.points), sum(row.is_find for row in found.points)
    svg = as_svg("front", f"{names[0]} against {names[1]}", lambda f: front_figure(f, found.points, targets, names))
    met = "; ".join(f"{one.n_met:,} meet that of {words.property_name(one.property)}" for one in targets)
    note = f"{len(found.points):,} compositions with every label: {met}; {n_finds:,} meet all. "
    note += f"{n_on_front:,} are on the Pareto front: no other is at least as good in each and better in one."
    front = {row.suggestion_id for row in found.points if row.is_on_front}
    titles = ["", "formula", *(title for name in names for title in (name, "expected")), "front"]
    rows = [_row(place, row, found.properties, front) for place, row in enumerate(found.finds, start=1)]
    parts = [element("h2", "The properties together"), figure(svg, note, alone=True)]
    return [*parts, table(titles, rows, numeric=(0,))] if rows else parts


def _row(
    place: int, find: Mapping[str, Any], properties: "Mapping[int, Sequence[AnyRow]]", front: set[int]
) -> list[object]:
    cells: list[object] = [place, formula(find["reduced_formula"])]
    for one in properties.get(find["suggestion_id"], ()):
        cells.append(words.NOTHING if one.value is None else words.with_error(one.value, one.uncertainty))
        cells.append(words.NOTHING if one.expected is None else words.with_error(one.expected, one.expected_sd))
    return [*cells, "yes" if find["suggestion_id"] in front else "no"]


def front_figure(
    drawn: "Figure", points: "Sequence[AnyRow]", targets: Sequence[TargetProgress], names: Sequence[str]
) -> None:
    """Labels of the first two properties against each other, with the bounds of their targets as lines."""
    axes = drawn.subplots()
    values = np.array([row.values[:2] for row in points], dtype=np.float64)
    is_find = np.array([row.is_find for row in points], dtype=np.bool_)
    is_on_front = np.array([row.is_on_front for row in points], dtype=np.bool_)
    groups = [(~is_find, GREY, "labelled"), (is_find, BLUE, "meets all targets"), (is_on_front, VERMILLION, "front")]
    for chosen, colour, _ in groups:
        axes.plot(*values[chosen].T, "o", color=colour, markersize=3.2, markeredgewidth=0, alpha=0.8)
    for one, line in zip(targets, (axes.axvline, axes.axhline), strict=False):
        for bound in (one.low, one.high):
            if bound is not None:
                line(bound, color=GREEN, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    key(axes, [(label, colour) for _, colour, label in groups])
