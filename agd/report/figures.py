"""The figures of a campaign: each draws on a figure given to it, with direct labels and the units said."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from agd.report import words
from agd.report.comparison import Compared
from agd.report.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LINES,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILLION,
    end_labels,
    key,
)
from agd.report.traces import Trace, per_iteration
from agd.types import Floats

_DASHES: Final = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1, 2)))
_MANY_POINTS: Final = 1500
_MOST_BARS: Final = 100

LAYERS: Final = (
    ("new", ("new",), BLUE),
    ("seen before", ("duplicate", "known"), SKY),
    ("rejected", ("rejected", "unanswered"), ORANGE),
    ("undecodable", ("undecodable",), VERMILLION),
)
"""The four counters of an iteration: name, outcomes, colour."""


def finds_figure(figure: Figure, compared: Sequence[Compared]) -> None:
    """Distinct finds against calls, a line for each campaign."""
    _finds(figure.subplots(), compared)


def best_figure(figure: Figure, compared: Sequence[Compared], best_initial: float | None = None) -> None:
    """The best label so far against calls, a line for each campaign; where the start already was, dotted."""
    _best(figure.subplots(), compared, best_initial)


def comparison_figure(figure: Figure, compared: Sequence[Compared]) -> None:
    """Both, side by side; the finds alone where the campaigns are after different properties."""
    if len({one.figures["property"] for one in compared}) > 1:
        _finds(figure.subplots(), compared)
        return
    left, right = figure.subplots(1, 2)
    _finds(left, compared)
    _best(right, compared, None)


def outcomes_figure(figure: Figure, trace: Trace) -> None:
    """What became of the suggestions of each iteration, stacked; neighbours share a bar where there are many."""
    axes = figure.subplots()
    numbers, counts = per_iteration(trace)
    width = -(-len(numbers) // _MOST_BARS)
    starts = np.arange(0, len(numbers), width)
    middles = numbers[starts] + (width - 1) / 2
    bottom = np.zeros(len(starts))
    words_ = []
    for name, outcomes, colour in LAYERS:
        layer = sum(counts[outcome] for outcome in outcomes)
        height = np.add.reduceat(layer, starts)
        axes.bar(middles, height, width * 0.86, bottom, color=colour, linewidth=0)
        bottom = bottom + height
        words_.append((f"{name} {int(np.sum(layer)):,}", colour))
    key(axes, words_)
    axes.set_xlabel("iteration" if width == 1 else f"iteration, {width} to a bar")
    axes.set_ylabel("suggestions")
    axes.set_xlim(numbers[0] - 0.6, numbers[0] - 0.4 + len(starts) * width)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(visible=False, axis="x")


def distribution_figure(figure: Figure, initial: Floats, trace: Trace, what: str) -> None:
    """Shares of the initial and of the campaign's own labels over their values; the target shaded."""
    axes = figure.subplots()
    own = trace.value[trace.is_labelled]
    groups = [(initial, GREY, f"initial labels {len(initial):,}"), (own, BLUE, f"labels of the campaign {len(own):,}")]
    groups = [group for group in groups if len(group[0])]
    edges = np.histogram_bin_edges(np.concatenate([values for values, _, _ in groups]), bins=30)
    for values, colour, _ in groups:
        share = np.histogram(values, edges)[0] / len(values)
        axes.stairs(share, edges, color=colour, fill=True, alpha=0.25, linewidth=0)
        axes.stairs(share, edges, color=colour, linewidth=1.4)
    axes.set_xlim(edges[0], edges[-1])
    _shade_target(axes, trace, edges[0], edges[-1])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_ylim(0)
    axes.set_ylabel("share of labels")
    axes.set_xlabel(what)
    key(axes, [(label, colour) for _, colour, label in groups])


def agreement_figure(figure: Figure, trace: Trace, what: str) -> None:
    """What the sampler expected of a composition, with its sd, against the label it got."""
    axes = figure.subplots()
    predicted, labelled, sd = trace.agreement()
    many = len(predicted) > _MANY_POINTS
    low = float(min(predicted.min(), labelled.min()))
    high = float(max(predicted.max(), labelled.max()))
    pad = 0.04 * (high - low or 1.0)
    gap = np.full(len(predicted), np.nan)
    axes.plot(
        np.stack([predicted - sd, predicted + sd, gap], axis=1).ravel(),
        np.stack([labelled, labelled, gap], axis=1).ravel(),
        color=BLUE,
        alpha=0.09,
        linewidth=0.6,
        rasterized=many,
    )
    axes.plot(predicted, labelled, "o", color=BLUE, markersize=2.6, markeredgewidth=0, alpha=0.7, rasterized=many)
    axes.axline((low, low), slope=1, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
    at = low + 0.08 * (high - low)
    axes.annotate("as expected", (at, at), (9, -1), textcoords="offset points", ha="left", va="top", color=INK)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlabel(f"expected by the sampler: {what}")
    axes.set_ylabel("label")


def calibration_figure(
    figure: Figure, sampler: tuple[Floats, Floats] | None, oracle: Sequence[tuple[float, float]]
) -> None:
    """The share of labels within an interval against the share the interval was to hold; above is cautious."""
    axes = figure.subplots()
    axes.axline((0, 0), slope=1, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
    shown = []
    if sampler is not None:
        axes.plot(*sampler, color=BLUE, marker="o", markersize=3)
        shown.append(("sampler, on the labels", BLUE))
    if oracle:
        axes.plot(
            [nominal for nominal, _ in oracle],
            [observed for _, observed in oracle],
            color=VERMILLION,
            marker="s",
            markersize=5,
            linestyle="none",
        )
        shown.append(("oracle, on held-out rows", VERMILLION))
    key(axes, shown)
    axes.annotate("too cautious", (0.06, 0.92), color=GREY)
    axes.annotate("too sure", (0.94, 0.06), ha="right", color=GREY)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_xlabel("interval meant to hold")
    axes.set_ylabel("interval holds")


def map_figure(
    figure: Figure,
    initial: Floats,
    points: Floats,
    values: Floats,
    is_find: Any,
    shares: tuple[float, float],
    what: str,
) -> None:
    """Initial rows and suggestions `[n, 2]` in the plane of most variance: values as colours, finds ringed."""
    axes = figure.subplots()
    many = len(points) + len(initial) > _MANY_POINTS
    axes.plot(*initial.T, "o", color=PALE, markersize=3, markeredgewidth=0, rasterized=many)
    has_value = ~np.isnan(values)
    axes.plot(*points[~has_value].T, "x", color=GREY, markersize=3, markeredgewidth=0.6, rasterized=many)
    drawn = axes.scatter(
        points[has_value, 0],
        points[has_value, 1],
        c=values[has_value],
        s=11,
        cmap="cividis",
        linewidths=np.where(is_find[has_value], 0.5, 0.0).tolist(),
        edgecolors=VERMILLION,
        rasterized=many,
    )
    if has_value.any():
        bar = figure.colorbar(drawn, ax=axes, aspect=30, pad=0.02)
        bar.set_label(what)
        bar.outline.set_visible(False)
    shown = [("initial", GREY), ("labelled: by colour", "#414d6b")]
    shown += [("find: ringed", VERMILLION)] if is_find.any() else []
    shown += [("cross: no label", GREY)] if (~has_value).any() else []
    key(axes, shown)
    axes.set_xlabel(f"first principal component, {words.share(shares[0])} of the variance")
    axes.set_ylabel(f"second, {words.share(shares[1])}")
    axes.set_xticks([])
    axes.set_yticks([])


def funnel_figure(figure: Figure, screenings: Sequence[Mapping[str, Any]]) -> None:
    """Formulas left after each stage of a screening, on a logarithmic axis, the screeners side by side."""
    axes = figure.subplots()
    names = list(dict.fromkeys(stage["name"] for one in screenings for stage in one["stages"]))
    thickness = 0.8 / len(screenings)
    most = max((stage["n_left"] for one in screenings for stage in one["stages"]), default=1)
    colours = {"baseline": GREY, "al": BLUE}
    for i, one in enumerate(screenings):
        left = {stage["name"]: stage["n_left"] for stage in one["stages"]}
        places = [names.index(name) + (i - (len(screenings) - 1) / 2) * thickness for name in left]
        colour = colours.get(one["role"], PURPLE)
        axes.barh(places, [max(n, 0.7) for n in left.values()], thickness * 0.9, color=colour, left=0.7)
        for place, n in zip(places, left.values(), strict=True):
            axes.annotate(f"{n:,}", (max(n, 0.7), place), (4, 0), textcoords="offset points", va="center", color=INK)
    key(axes, [(f"{one['role']} screener", colours.get(one["role"], PURPLE)) for one in screenings])
    axes.set_xscale("log")
    axes.set_xlim(0.7, max(most, 10) * 6)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("formulas left")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _finds(axes: Axes, compared: Sequence[Compared]) -> None:
    ends = []
    for one, colour, dashes in _pens(compared):
        x, y = one.trace.finds()
        if not len(x):
            continue
        axes.step(x, y, where="post", color=colour, linestyle=dashes)
        ends.append((x[-1], y[-1], f"{_name(one, compared)}: {int(y[-1]):,}", colour))
    _over_calls(axes, compared)
    axes.set_ylim(0, max([1.0, *(y for _, y, _, _ in ends)]) * 1.05)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("distinct finds")
    end_labels(axes, ends)


def _best(axes: Axes, compared: Sequence[Compared], best_initial: float | None) -> None:
    first = compared[0]
    unit = first.figures["unit"]
    ends = []
    for one, colour, dashes in _pens(compared):
        x, y = one.trace.best()
        if len(x):
            axes.step(x, y, where="post", color=colour, linestyle=dashes)
            ends.append((x[-1], y[-1], f"{_name(one, compared)}: {words.number(float(y[-1]))} {unit}", colour))
    _over_calls(axes, compared)
    what = words.property_name(first.figures["property"])
    axes.set_ylabel(f"best {what} so far, {unit}")
    if best_initial is not None:
        axes.axhline(best_initial, color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)))
        known = f"known at the start: {words.number(best_initial)} {unit}"
        ends.append((axes.get_xlim()[1], best_initial, known, GREY))
    axes.margins(y=0.1)
    end_labels(axes, ends)


def _name(one: Compared, compared: Sequence[Compared]) -> str:
    is_twin = one is not compared[0] and one.figures["twin_of"] == compared[0].name
    return f"{one.figures['sampler_kind']} twin" if is_twin else one.name


def _over_calls(axes: Axes, compared: Sequence[Compared]) -> None:
    axes.set_xlabel("oracle calls charged")
    axes.set_xlim(0, max(1, *(one.trace.n_calls for one in compared), 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _pens(compared: Sequence[Compared]) -> list[tuple[Compared, str, Any]]:
    """Colours for campaigns, grey dashes for controls."""
    n_searches = n_controls = 0
    pens: list[tuple[Compared, str, Any]] = []
    for one in compared:
        if one.is_control and len(compared) > 1:
            pens.append((one, GREY, _DASHES[n_controls % len(_DASHES)]))
            n_controls += 1
        else:
            style = ("-", *_DASHES)[n_searches // len(LINES) % 4]
            pens.append((one, LINES[n_searches % len(LINES)], style))
            n_searches += 1
    return pens


def _shade_target(axes: Axes, trace: Trace, left: float, right: float) -> None:
    bounds = trace.bounds
    low = left if bounds.low is None else max(bounds.low, left)
    high = right if bounds.high is None else min(bounds.high, right)
    if low < high:
        axes.axvspan(low, high, color=GREEN, alpha=0.12, linewidth=0)
        axes.annotate(
            "target", ((low + high) / 2, 1), (0, -3), ("data", "axes fraction"), "offset points", ha="center", va="top",
            color=GREEN,
        )  # fmt: skip
