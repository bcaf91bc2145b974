"""Figures of calculations: bands of phonons with how many modes there are, elastic constants with their averages."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agd.report.drawing import BLUE, GREY, INK, PALE, VERMILLION, key
from agd.types import Floats
from agd.views import Elasticity

PHONONS_SIZE = (7.2, 3.8)
ELASTIC_SIZE = (8.2, 3.8)

_ROUNDED = 0.05
"""GPa: what is smaller is shown as 0."""

_N_BINS = 200
_BROAD = 0.008
"""Of the range of frequencies: how far a mode is spread, one standard deviation."""


def phonon_figure(
    figure: Figure,
    title: str,
    path: tuple[Floats, Sequence[str], Floats],
    mesh: tuple[NDArray[np.int64], Floats],
    imaginary_below_thz: float,
) -> None:
    """Bands along the path (distances `[p]`, labels, frequencies `[p, modes]`), beside them the density of the mesh.

    The mesh is weights `[q]` and frequencies `[q, modes]`. What is imaginary stands below zero, in another colour.
    """
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[4, 1])
    distances, labels, bands = path
    breaks = [i for i, (a, b) in enumerate(pairwise(labels), start=1) if a and b and a != b]
    for lines in np.split(np.arange(len(distances)), breaks):
        left.plot(distances[lines], bands[lines], color=BLUE, linewidth=1.1)
        left.plot(
            distances[lines],
            np.where(bands[lines] < imaginary_below_thz, bands[lines], np.nan),
            color=VERMILLION,
            linewidth=1.4,
        )
    _name_points(left, distances, labels)
    left.set_ylabel("frequency (THz)")
    left.set_title(title, loc="left")
    _density(right, *mesh, imaginary_below_thz)
    for axes in (left, right):
        axes.axhline(0, color=GREY, linewidth=0.7)


def elastic_figure(figure: Figure, title: str, found: Elasticity, beside: Mapping[str, float]) -> None:
    """The matrix of constants, beside it those on its diagonal with averages, and values that were given to compare.

    `beside` is by the name of a constant (C11, .. C66) or average (K, G, E), in GPa.
    """
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6)] = found.stiffness_gpa
    matrix += np.triu(matrix, 1).T
    scale = float(np.abs(matrix).max())
    left.imshow(matrix, cmap="PuOr", vmin=-1.6 * scale, vmax=1.6 * scale)
    for (i, j), value in np.ndenumerate(matrix):
        left.text(
            j, i, f"{value if abs(value) >= _ROUNDED else 0.0:.1f}", ha="center", va="center", fontsize=7, color=INK
        )
    left.set_xticks(range(6), [str(i) for i in range(1, 7)])
    left.set_yticks(range(6), [str(i) for i in range(1, 7)])
    left.grid(visible=False)
    left.set_title(f"{title}: constants (GPa)", loc="left")
    _averages(right, found, matrix, beside)


def constants_of(found: Elasticity) -> dict[str, float | None]:
    """Constants and averages of Hill in GPa by the names that a figure compares."""
    names = [f"C{i + 1}{j + 1}" for i, j in zip(*np.triu_indices(6), strict=True)]
    averages = {"K": found.bulk_hill_gpa, "G": found.shear_hill_gpa, "E": found.young_hill_gpa}
    return {**dict(zip(names, found.stiffness_gpa, strict=True)), **averages}


def _averages(axes: Axes, found: Elasticity, matrix: Floats, beside: Mapping[str, float]) -> None:
    diagonal = [f"C{i}{i}" for i in range(1, 7)]
    more = [name for name in beside if name not in (*diagonal, "K", "G", "E")]
    names = [*diagonal, *more, "K", "G", "E"]
    values = constants_of(found)
    for place, name in enumerate(names):
        axes.bar(place, values[name] or 0.0, color=PALE if name.startswith("C") else BLUE, width=0.7)
        if name in beside:
            axes.plot(place, beside[name], marker="D", color=VERMILLION, markersize=5)
    bounds = {"K": (found.bulk_reuss_gpa, found.bulk_voigt_gpa), "G": (found.shear_reuss_gpa, found.shear_voigt_gpa)}
    for name, (low, high) in bounds.items():
        if low is not None:
            axes.plot([names.index(name)] * 2, [low, high], color=INK, linewidth=1.4)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.set_xticks(range(len(names)), names)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("GPa")
    stable = "stable" if np.linalg.eigvalsh(matrix)[0] > 0 else "not stable"
    words = [(f"averages of Hill, line: Reuss to Voigt; {stable} by Born", BLUE)]
    key(axes, words + ([("given", VERMILLION)] if beside else []))


def _name_points(axes: Axes, distances: Floats, labels: Sequence[str]) -> None:
    """A line and a name at each named point; where the path begins anew, both names stand together."""
    names: dict[float, list[str]] = {}
    for distance, label in zip(distances.tolist(), labels, strict=True):
        if label and label not in (there := names.setdefault(round(distance, 6), [])):
            there.append(label)
    for distance in names:
        axes.axvline(distance, color=PALE, linewidth=0.7)
    axes.set_xticks(list(names), ["|".join(there) for there in names.values()])
    axes.set_xlim(0, max(names))
    axes.grid(visible=False, axis="x")


def _density(axes: Axes, weights: NDArray[np.int64], frequencies: Floats, imaginary_below_thz: float) -> None:
    low, high = min(0.0, float(frequencies.min())), float(frequencies.max())
    spread = _BROAD * (high - low)
    at = np.linspace(low - 4 * spread, high + 4 * spread, _N_BINS)
    share = np.repeat(weights / weights.sum(), frequencies.shape[1])
    modes = np.exp(-(((at[:, None] - frequencies.ravel()) / spread) ** 2) / 2) @ share
    modes /= spread * np.sqrt(2 * np.pi)
    axes.fill_betweenx(at, 0, modes, color=BLUE, alpha=0.35, linewidth=0)
    axes.fill_betweenx(at, 0, np.where(at < imaginary_below_thz, modes, 0.0), color=VERMILLION, linewidth=0)
    axes.set_xlabel("modes per THz")
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="x")
