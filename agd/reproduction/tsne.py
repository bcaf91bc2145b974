"""Figure 8: where the search went, beside the set it started from, by t-SNE of latent vectors."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure as Canvas

from agd.chem.formula import parse_formulas
from agd.protocols import Generator
from agd.report.drawing import BLUE, GREY, VERMILLION
from agd.reproduction.authors import AL_FROM_ID, SETS
from agd.reproduction.outcome import Drawing, Listed, Outcome, Part, Words
from agd.reproduction.searches import DEFAULT, EXP3, PAPER, search
from agd.reproduction.study import Study, Wish
from agd.spec import AutoencoderSpec
from agd.types import Counts, Floats

_PERPLEXITY: Final = 30.0
_N_REAL: Final = 2000


def fig8(study: Study, wish: Wish) -> Outcome:
    """The starting set of Exp3 and what the searches labelled, in one plane of our autoencoder's latent space."""
    rows = study.files.rows(SETS["Exp3 AL"])
    formulas = study.files.formulas(SETS["Exp3 AL"])
    groups = {
        "starting set": [f for f, row in zip(formulas, rows, strict=True) if row.id < AL_FROM_ID],
        "authors' search": [f for f, row in zip(formulas, rows, strict=True) if row.id >= AL_FROM_ID],
    }
    if not wish.is_authors_data:
        for arm in (PAPER, DEFAULT):
            groups[f"ours, {arm.name}"] = list(search(study, EXP3, arm, study.protocol.seed).formulas)
    real = study.files.formulas(SETS["Exp1"])
    drawn = np.random.default_rng(0).permutation(len(real))[:_N_REAL]
    groups["known compounds"] = [real[i] for i in drawn.tolist()]
    generator = study.autoencoder()
    latents = {name: _encoded(generator, found) for name, found in groups.items()}
    planes = _planes(latents)
    shown = [_spread(name, latents[name], latents["starting set"], groups[name]) for name in groups]
    columns = ("set", "formulas", "encodable", "median distance to the starting set", "median elements")
    words = (
        "The distance is that of a formula's latent vector to the nearest one of the starting set (within it: to the "
        "nearest other). t-SNE keeps neighbours, not distances or areas: how wide a cloud looks in the figure says "
        "little, which is why the distances stand here.",
    )
    own = shown[1]
    alone, together = _reach(latents, ()), _reach(latents, (list(groups)[1],))
    lead = (
        f"The authors' search lies {own[3]} from the starting set, the known compounds {shown[-1][3]}; its formulas "
        f"have {own[4]} elements in the median, those of the starting set {shown[0][4]}. From a known compound to the "
        f"nearest one of the starting set it is {alone} in the median, with the search added {together}."
    )
    parts: list[Part] = [
        _drawing(planes),
        Listed("How far from the starting set", columns, shown, words),
        Words("What was done, and why", _EXPLAINED),
    ]
    return Outcome("fig8", "Figure 8: the starting set and the search by t-SNE", lead, parts)


_EXPLAINED: Final = (
    'The paper calls its autoencoder variational; it is a plain one, and "trained with 66,324 materials" are the 80 % '
    "that its code trains on of 82,906.",
    "The paper does not say which vectors its figure shows; the shipped table holds latents of another autoencoder. "
    "Ours are those of the autoencoder that our campaigns search with, trained on the known formulas.",
    f"t-SNE of all groups at once (scikit-learn, perplexity {_PERPLEXITY:g}, from the principal components, seed 0).",
)


def _encoded(generator: Generator, formulas: Sequence[str]) -> Floats:
    counts: Counts
    counts, _ = parse_formulas(formulas)
    return generator.encode(counts[AutoencoderSpec().is_representable(counts)]).astype(np.float64)


def _planes(latents: dict[str, Floats]) -> dict[str, Floats]:
    from sklearn.manifold import TSNE

    together = np.concatenate(list(latents.values()))
    plane = TSNE(perplexity=_PERPLEXITY, init="pca", random_state=0)  # type: ignore[no-untyped-call]  # untyped
    placed = plane.fit_transform(together)
    ends = np.cumsum([len(points) for points in latents.values()])[:-1]
    return dict(zip(latents, np.split(placed.astype(np.float64), ends), strict=True))


def _spread(name: str, points: Floats, start: Floats, formulas: Sequence[str]) -> tuple[object, ...]:
    from scipy.spatial.distance import cdist

    distances = cdist(points, start)
    if points is start:
        np.fill_diagonal(distances, np.inf)
    counts, _ = parse_formulas(formulas)
    n_elements = int(np.median(np.count_nonzero(counts, axis=1)))
    return (name, len(formulas), len(points), round(float(np.median(distances.min(axis=1))), 2), n_elements)


def _reach(latents: Mapping[str, Floats], added: Sequence[str]) -> float:
    """The median distance from a known compound to the nearest one of the starting set and of what is added."""
    from scipy.spatial.distance import cdist

    points = np.concatenate([latents[name] for name in ("starting set", *added)])
    return round(float(np.median(cdist(latents["known compounds"], points).min(axis=1))), 2)


def _drawing(planes: dict[str, Floats]) -> Drawing:
    searched = [name for name in planes if name not in {"starting set", "known compounds"}]

    def draw(canvas: Canvas) -> None:
        panels = np.atleast_1d(canvas.subplots(1, len(searched), sharex=True, sharey=True))
        for axes, name in zip(panels, searched, strict=True):
            known, found, start = planes["known compounds"], planes[name], planes["starting set"]
            axes.scatter(*known.T, s=3, color="#c9c9c9", linewidths=0, rasterized=True)
            axes.scatter(*found.T, s=9, facecolors="none", edgecolors=BLUE, linewidths=0.6)
            axes.scatter(*start.T, s=16, marker="+", color=VERMILLION, linewidths=0.8)
            axes.set_title(name, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
        panels[0].annotate("+ starting set", (0.02, 0.1), xycoords="axes fraction", color=VERMILLION)
        panels[0].annotate("o labelled by the search", (0.02, 0.04), xycoords="axes fraction", color=BLUE)
        panels[-1].annotate("known compounds", (0.98, 0.04), xycoords="axes fraction", color=GREY, ha="right")

    caption = "One t-SNE of all groups: the starting set, what each search labelled, and 2,000 known compounds behind."
    size = (3.6 * len(searched), 3.6) if len(searched) > 1 else (5.2, 4.4)
    return Drawing("tsne", "t-SNE of latent vectors: starting set, searches, known compounds", draw, caption, size)
