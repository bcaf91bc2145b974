"""The numbers of figures, as the browser draws them and as a file holds them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.views import CampaignProgress, IterationProgress

_MOST_POINTS: Final = 400
_MOST_BINS: Final = 40


@dataclass(frozen=True, slots=True)
class Line:
    """A line or the bars of a figure, a value for each x; `style` is step, bars or points."""

    title: str
    values: Sequence[float | None]
    style: str = "step"
    is_control: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """What a figure shows: its axes with their units, and lines over the same x; None where one has no point."""

    x_title: str
    y_title: str
    x: Sequence[float]
    lines: Sequence[Line]
    shaded: tuple[float | None, float | None] | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the browser."""
        lines = [
            {"title": one.title, "values": list(one.values), "style": one.style, "is_control": one.is_control}
            for one in self.lines
        ]
        return {
            "x_title": self.x_title,
            "y_title": self.y_title,
            "x": list(self.x),
            "lines": lines,
            "shaded": self.shaded,
            "note": self.note,
        }

    def as_rows(self) -> Iterable[Sequence[object]]:
        """For a file: the titles, then a row for each x."""
        yield [self.x_title, *(f"{one.title}: {self.y_title}" for one in self.lines)]
        yield from ([x, *(one.values[i] for one in self.lines)] for i, x in enumerate(self.x))


@dataclass(frozen=True, slots=True)
class Course:
    """How a campaign went, over its iterations `[n]`: calls charged, distinct finds and the best label by then."""

    calls: Sequence[int]
    finds: Sequence[int]
    best: Sequence[float | None]
    title: str = ""
    is_control: bool = False


def course(progress: CampaignProgress, iterations: Sequence[IterationProgress], *, is_control: bool = False) -> Course:
    """The course of a campaign from its counters; there is no best where a window is sought, but the nearest to it."""
    calls, finds, best = [0], [0], [None]
    for one in iterations:
        calls.append(calls[-1] + one.n_charged)
        finds.append(finds[-1] + one.n_finds)
        best.append(_better(best[-1], one, progress.target_low, progress.target_high))  # type: ignore[arg-type]
    return Course(calls, finds, best, progress.campaign, is_control)


def _better(so_far: float | None, one: IterationProgress, low: float | None, high: float | None) -> float | None:
    if low is not None and high is not None:
        middle = (low + high) / 2
        ends = [value for value in (so_far, one.highest, one.lowest) if value is not None]
        return min(ends, key=lambda value: abs(value - middle), default=None)
    sought, better = (one.lowest, min) if low is None else (one.highest, max)
    return so_far if sought is None else sought if so_far is None else better(so_far, sought)


def over_calls(courses: Sequence[Course], what: str, y_title: str) -> Figure:
    """`finds` or `best` of campaigns over the calls each was charged, thinned out to what a screen can show."""
    x = sorted({call for one in courses for call in one.calls})
    if len(x) > _MOST_POINTS:
        x = sorted({x[round(i)] for i in np.linspace(0, len(x) - 1, _MOST_POINTS)})
    lines = [Line(one.title, _at(x, one.calls, getattr(one, what)), "step", one.is_control) for one in courses]
    return Figure("oracle calls charged", y_title, [float(one) for one in x], lines)


def _at(x: Sequence[int], calls: Sequence[int], values: Sequence[float | None]) -> list[float | None]:
    """The last value at each of `x`, nothing beyond the last call."""
    places = np.searchsorted(np.asarray(calls), np.asarray(x), side="right") - 1
    return [values[place] if at <= calls[-1] else None for at, place in zip(x, places, strict=True)]


def outcomes(iterations: Sequence[IterationProgress]) -> Figure:
    """What became of suggestions, each kind by iteration; neighbours are taken together where there are many."""
    width = max(1, -(-len(iterations) // _MOST_POINTS))
    parts = [iterations[i : i + width] for i in range(0, len(iterations), width)]
    titles = {"n_new": "new", "n_duplicate": "duplicate", "n_known": "known", "n_rejected": "rejected"}
    titles["n_undecodable"] = "undecodable"
    lines = [Line(title, [sum(getattr(one, name) for one in part) for part in parts]) for name, title in titles.items()]
    lines = [lines[0], *(one for one in lines[1:] if any(one.values))]
    x_title = "iteration" if width == 1 else f"iteration, {width} together"
    return Figure(x_title, "suggestions", [float(part[0].iteration) for part in parts], lines)


def histogram(progress: CampaignProgress, values: Sequence[float], n_most: int) -> Figure:
    """How many of the latest results lie where, with the target shaded."""
    words = f"{progress.property.replace('_', ' ')}, {progress.unit}"
    note = f"of the latest {n_most:,} results" if len(values) >= n_most else ""
    if not values:
        return Figure(words, "results", [], [Line("results", [], "bars")])
    n_bins = min(_MOST_BINS, max(5, int(np.sqrt(len(values)))))
    counts, edges = np.histogram(np.asarray(values), bins=n_bins)
    middles = (edges[:-1] + edges[1:]) / 2
    shaded = (progress.target_low, progress.target_high)
    return Figure(words, "results", middles.tolist(), [Line("results", counts.tolist(), "bars")], shaded, note)


def agreement(progress: CampaignProgress, rows: Sequence[Any]) -> Figure:
    """What the sampler expected of the latest results against their labels."""
    words = f"{progress.property.replace('_', ' ')}, {progress.unit}"
    pairs = sorted((row.expected, row.value) for row in rows)
    x = [expected for expected, _ in pairs]
    lines = [Line("label", [value for _, value in pairs], "points"), Line("as expected", x, "line", is_control=True)]
    return Figure(f"expected by the sampler: {words}", "label", x, lines)


@dataclass(frozen=True, slots=True)
class Cell:
    """An element in its place of the periodic table, with the finds that hold it, and that as a share of the most."""

    symbol: str
    column: int
    row: int
    n: int
    share: float


@dataclass(frozen=True, slots=True)
class ElementMap:
    """The periodic table of finds: which elements they are of."""

    cells: Sequence[Cell]
    n_finds: int
    n_known: int
    most: Mapping[str, int] = field(default_factory=dict)


def element_map(finds: Sequence[Any]) -> ElementMap:
    """Count the elements of finds, each find once for each of its elements."""
    counts = Counter(symbol for one in finds for symbol in one.chemical_system.split("-"))
    most = max(counts.values(), default=0)
    cells = []
    for number in range(1, N_ELEMENTS + 1):
        symbol = SYMBOLS[number - 1]
        column, row = place(number)
        n = counts[symbol]
        cells.append(Cell(symbol, column, row, n, n / most if most else 0.0))
    return ElementMap(cells, len(finds), sum(one.is_known for one in finds), dict(counts.most_common(8)))


def place(number: int) -> tuple[int, int]:
    """Column 1 to 18 and row 1 to 10 of an element by its atomic number; lanthanides and actinides stand below."""
    for row, (first, n) in enumerate(((1, 2), (3, 8), (11, 8), (19, 18), (37, 18), (55, 32), (87, 32)), start=1):
        at = number - first
        if at >= n:
            continue
        if n == 2:  # noqa: PLR2004  hydrogen and helium
            return (1, row) if at == 0 else (18, row)
        if n == 8:  # noqa: PLR2004  no transition metals
            return (at + 1 if at < 2 else at + 11, row)  # noqa: PLR2004
        if n == 18:  # noqa: PLR2004  no f block
            return at + 1, row
        if at < 2:  # noqa: PLR2004  the s block
            return at + 1, row
        if at < 16:  # noqa: PLR2004  the f block, 14 elements
            return at + 1, row + 3
        return at - 13, row
    raise ValueError(f"{number} is the number of no element")
