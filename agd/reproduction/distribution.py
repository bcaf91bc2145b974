"""Figure 4: how the band gaps of the training sets are distributed."""

from typing import Final

import numpy as np
from matplotlib.figure import Figure as Canvas

from agd.report import words
from agd.report.drawing import BLUE, GREY, INK, VERMILLION
from agd.reproduction import paper
from agd.reproduction.authors import AL_FROM_ID, SETS
from agd.reproduction.outcome import Drawing, Listed, Outcome, Part
from agd.reproduction.study import Study, Wish
from agd.types import Floats

_MOST_SHOWN_EV: Final = 12
_EDGES: Final = np.arange(0.0, 17.01, 0.25)


def fig4(study: Study, _wish: Wish) -> Outcome:
    """The distribution of the oracle's data set, and of what the authors' searches added."""
    rows = {row: study.files.rows(name) for row, name in SETS.items()}
    gaps = {row: np.array([one.band_gap_ev for one in found]) for row, found in rows.items()}
    for row in ("Exp2 AL", "Exp3 AL"):
        gaps[f"{row}, added"] = np.array([one.band_gap_ev for one in rows[row] if one.id >= AL_FROM_ID])
    shown = [_described(row, values) for row, values in gaps.items()]
    columns = ("set", "rows", "least, eV", "median", "mean", "largest", "<= 0.5 eV", "> 2 eV", "> 6 eV")
    said = (
        f"The paper prints {paper.N_ROWS['Exp1']:,} and 42,667 rows for what is {len(gaps['Exp1']):,} in the file. It "
        'says "too many data points around 0 eV": metals are left out (no gap is below 0.0001 eV), a fifth of the rows '
        "is below 0.5 eV, and the median is 1.70 eV.",
    )
    whole = gaps["Exp1"]
    lead = (
        f"{len(whole):,} compounds, median {np.median(whole):.2f} eV, {np.mean(whole > 2.0):.0%} above 2 eV, "  # noqa: PLR2004
        f"{int((whole > paper.HIGH_EV).sum())} above {paper.HIGH_EV:g} eV."
    )
    parts: list[Part] = [_all_of(whole), _added(gaps), Listed("The sets", columns, shown, said)]
    return Outcome("fig4", "Figure 4: band gaps of the training sets", lead, parts)


def _described(row: str, values: Floats) -> tuple[object, ...]:
    low, high = values.min(), values.max()
    shares = [f"{share:.1%}" for share in (np.mean(values <= 0.5), np.mean(values > 2.0))]  # noqa: PLR2004
    middle = [round(float(value), 4) for value in (low, np.median(values), values.mean(), high)]
    return (row, len(values), *middle, *shares, int((values > paper.HIGH_EV).sum()))


def _all_of(values: Floats) -> Drawing:
    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.hist(values, bins=_EDGES.tolist(), color=BLUE)
        axes.axvline(paper.HIGH_EV, color=VERMILLION, linewidth=1.0)
        axes.annotate(
            f"{paper.HIGH_EV:g} eV",
            (paper.HIGH_EV, axes.get_ylim()[1]),
            (4, -4),
            textcoords="offset points",
            color=VERMILLION,
            va="top",
        )
        axes.set_xlim(0, _MOST_SHOWN_EV)
        axes.set_xlabel("band gap, eV")
        axes.set_ylabel("compounds per 0.25 eV")

    beyond = int((values > _MOST_SHOWN_EV).sum())
    caption = f"The oracle's data set; {words.counted(beyond, 'compound')} beyond {_MOST_SHOWN_EV} eV left out."
    return Drawing("gaps", "histogram of band gaps", draw, caption)


def _added(gaps: dict[str, Floats]) -> Drawing:
    def draw(canvas: Canvas) -> None:
        for axes, row in zip(canvas.subplots(1, 2, sharey=True), ("Exp2", "Exp3"), strict=True):
            edges = np.arange(-1.0, 8.01, 0.5)
            for name, colour in ((f"{row} BS", GREY), (f"{row} AL, added", BLUE)):
                values = gaps[name]
                weights = np.full(len(values), 1 / len(values))
                axes.hist(values, bins=edges, weights=weights, histtype="step", color=colour, linewidth=1.6)
            axes.set_xlabel("band gap, eV")
            axes.text(0.98, 0.95, f"{row}: base set", color=GREY, transform=axes.transAxes, ha="right", va="top")
            axes.text(0.98, 0.86, "what the search added", color=BLUE, transform=axes.transAxes, ha="right", va="top")
            axes.set_ylabel("share per 0.5 eV", color=INK)

    caption = "The search added rows of smaller gaps than the base sets have, not of larger ones."
    return Drawing("added", "band gaps of the base sets and of the rows that the search added", draw, caption, (9, 3.2))
