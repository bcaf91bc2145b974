"""How figures look and leave: one style, direct labels instead of legends, SVG to stand inside a page, or a file."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

from agd.errors import InputError
from agd.writing import writing

Draw: TypeAlias = Callable[[Figure], None]

# Colours that all eyes tell apart (Okabe and Ito, 2008).
BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
INK: Final = "#333333"
GREY: Final = "#8a8a8a"
PALE: Final = "#d9d9d9"
LINES: Final = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

FORMATS: Final = (".png", ".svg", ".pdf")
_FONT_PT: Final = 8.5
_LINE_PT: Final = 1.25 * _FONT_PT
_HEIGHT_LEFT: Final = 0.95  # of axes, once labels have taken their room

_STYLE: Final[dict[Any, Any]] = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": _FONT_PT,
    "axes.titlesize": _FONT_PT,
    "axes.labelsize": _FONT_PT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.6,
}


def as_svg(name: str, says: str, draw: Draw, size: tuple[float, float] = (4.7, 3.0)) -> str:
    """Draw a figure as an SVG element: text stays text, ids are its own, `says` is told to those who cannot see it.

    `size` is in inches; the element takes the width of what it stands in.
    """
    from io import StringIO

    written = StringIO()
    with _styled(name):
        figure = _drawn(draw, size)
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(written.getvalue(), says)


def format_of(path: Path) -> str:
    """The format that a figure's suffix tells; raises InputError where it tells none."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: a figure is written as {', '.join(FORMATS)}: end its name in one of them")
    return path.suffix.removeprefix(".")


def save(path: Path, draw: Draw, size: tuple[float, float], *, force: bool) -> None:
    """Draw a figure into a file of the format that its suffix tells.

    Raises:
        InputError: the suffix tells none, the file is there and `force` is not set, or it cannot be written.
    """
    as_format = format_of(path)
    with _styled(path.stem), writing(path, force=force) as file:
        figure = _drawn(draw, size)
        metadata = {} if as_format == "png" else {"Creator": "agd"}
        figure.savefig(file, format=as_format, dpi=200, metadata=metadata)


def end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Name lines at their right ends: (x, y, words, colour); words that would touch are moved apart."""
    low, high = axes.get_ylim()
    height_pt = 72 * axes.get_window_extent().height / axes.figure.dpi
    gap = _LINE_PT / (_HEIGHT_LEFT * height_pt) * (high - low)
    places = _apart([y for _, y, _, _ in ends], gap, low)
    for (x, y, words, colour), place in zip(ends, places, strict=True):
        axes.annotate(
            words,
            (x, y),
            xytext=(5, (place - y) / gap * _LINE_PT),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )


def _apart(places: Sequence[float], gap: float, floor: float = -math.inf) -> list[float]:
    """Places at least `gap` apart in their order and none below `floor`; neighbours are pushed to both sides alike."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for _ in range(100):
        if order:
            moved[order[0]] = max(moved[order[0]], floor)
        for before, after in pairwise(order):
            short = gap - (moved[after] - moved[before])
            if short > 0:
                moved[before] -= short / 2
                moved[after] += short / 2
    return moved


def key(axes: Axes, words: Sequence[tuple[str, str]]) -> None:
    """A line of coloured words (words, colour) above the axes: what the colours mean, where the eye begins."""
    parts: list[Any] = [TextArea(text, textprops={"color": colour, "weight": "bold"}) for text, colour in words]
    packed = HPacker(children=parts, pad=0, sep=9)
    axes.add_artist(
        AnchoredOffsetbox(
            loc="lower left", child=packed, pad=0, borderpad=0.4, frameon=False, bbox_to_anchor=(0, 1),
            bbox_transform=axes.transAxes,
        )
    )  # fmt: skip


def _drawn(draw: Draw, size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    return figure


@contextmanager
def _styled(salt: str) -> Iterator[None]:
    with mpl.rc_context(_STYLE | {"svg.hashsalt": salt}):
        yield


def _inline(svg: str, says: str) -> str:
    """The element alone, its width left to the page, without prolog, metadata, unused ids and the font's name."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r" xmlns(:xlink)?=\"[^\"]*\"", "", svg, count=2)
    svg = re.sub(r'(<svg )width="[^"]*" height="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    svg = svg.replace("'DejaVu Sans'", "inherit")
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(says, quote=True)}" ', 1).strip()
