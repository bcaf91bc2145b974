"""The generator of formulas: validity, uniqueness and novelty by number of samples, ours and the paper's networks."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from matplotlib.figure import Figure as Canvas

from agd.chem.elements import SYMBOLS
from agd.db.record import datasets
from agd.report.drawing import BLUE, GREY, ORANGE
from agd.reproduction import paper
from agd.reproduction.generated import DEFAULT, PAPER, TRIMS, icsd, sampled, trained
from agd.reproduction.outcome import Compared, Drawing, Figure, Line, Outcome, Part, Words
from agd.reproduction.study import Study, Wish, facts_of
from agd.steps.data.compositions import counts_of
from agd.steps.models.training import Trained
from agd.steps.models.training_sets import find_dataset
from agd.types import Counts

_SIZES: Final = (10_000, 100_000, 1_000_000)
_METRICS: Final = (
    ("valid samples, %", "validity_as_generated", Figure(paper.MATGAN_VALIDITY)),
    ("valid distinct, %", "validity", None),
    ("novel distinct, %", "novelty", Figure(paper.MATGAN_NOVELTY)),
    ("unique, %", "uniqueness", None),
    ("training set found again, %", "recovery_trained", None),
    ("held-out set found, %", "recovery_held_out", None),
    ("its valid part, %", "recovery_held_out_valid", None),
)


def matgan(study: Study, _wish: Wish) -> Outcome:
    """Both generators at growing numbers of samples."""
    sizes = [n for n in _SIZES if n < study.protocol.n_generated] + [study.protocol.n_generated]
    lines, told = [], {}
    for kind, title in ((DEFAULT, "default"), (PAPER, "the paper's networks")):
        model = trained(study, kind)
        for n in sizes:
            is_last = n == sizes[-1]
            told[kind, n] = made = sampled(study, model, n, TRIMS if is_last else None)
            lines += _lines(f"{title}, {n:,}", made.generation, made.options["metrics"], model, is_last=is_last)
            if not made.stages["decoded"]:
                break
    last = told[DEFAULT, sizes[-1]].options["metrics"]
    valid, novel = 100 * last["validity_as_generated"], 100 * last.get("novelty", 0.0)
    lead = (
        f"{sizes[-1]:,} samples of the default: {valid:.1f} % of them are valid (published {paper.MATGAN_VALIDITY} %), "
        f"{novel:.1f} % of the distinct ones are not in the training set (published {paper.MATGAN_NOVELTY} %)."
    )
    drawn = {title: _counts(study, told[kind, sizes[0]].generation) for kind, title in _TITLES.items()}
    drawn["training set"] = _counts(study, icsd(study))
    parts: list[Part] = [
        Compared("Validity, novelty, uniqueness", lines, _ABOUT),
        _elements_drawn(drawn),
        Words("What was done, and why", _EXPLAINED),
    ]
    return Outcome("matgan", "The generator of formulas", lead, parts)


_TITLES: Final = {DEFAULT: "default", PAPER: "the paper's networks"}

_ABOUT: Final = (
    "Valid: charge-neutral and electronegativity-balanced by the authors' rule, one oxidation state to an element; a "
    "sample as it is generated, where the rule refuses multiples of a formula, a distinct composition once reduced. "
    "Novel: not among the rows that the generator learned from. Unique: distinct compositions among the samples.",
    "The published figures are of a generator trained on ICSD formulas that pass the rule, novelty at two million "
    "samples (doi:10.1038/s41524-020-00352-0). What is found again counts formulas that the rule refuses too, about a "
    "quarter of the set, which the default never learns; the valid part of the held-out rows is given beside it.",
)
_EXPLAINED: Final = (
    "The authors' ICSD list is not public: ours are the ICSD entries of the Materials Project, of which a tenth is "
    "held out; how much of that tenth is found is the one measure that no copying helps.",
    "The default is not the published network: it writes a formula element by element, learns by likelihood and then "
    "against a critic, from formulas that pass the rule. The published networks have the published constants (all "
    "weights drawn with a standard deviation of 1, learning rate of the critic 0.01) and 1,000 steps of 32 formulas; "
    "how long the authors trained is not known, and their training loop is not public. A row of dashes is a generator "
    "that made no formula; it is not asked for more samples.",
    "Elements: the paper says 87 for the autoencoder and draws them as columns; the authors' files have 89 in the set, "
    "87 in the autoencoder, as rows, and 85 in the generator. Ours follow the files.",
)


def _lines(row: str, generation: str, metrics: Mapping[str, float], model: Trained, *, is_last: bool) -> list[Line]:
    return [
        Line(
            row,
            quantity,
            Figure(100 * metrics[key]) if key in metrics else None,
            printed if is_last else None,
            2,
            rests_on=(facts_of(model), f"generation {generation}"),
        )
        for quantity, key, printed in _METRICS
    ]


def _counts(study: Study, dataset: str) -> Counts:
    with study.workspace.database.read() as tx:
        rows = datasets.rows_of(tx, find_dataset(tx, dataset).id)
    return counts_of([row.reduced_formula for row in rows])


def _elements_drawn(found: Mapping[str, Counts]) -> Drawing:
    """How often each element, and how many of them, beside the training set."""
    colours = dict(zip(found, (BLUE, ORANGE, GREY), strict=True))

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, width_ratios=(2.4, 1))
        order = np.argsort(-(found["training set"] > 0).mean(axis=0))[:40]
        for name, counts in found.items():
            if not len(counts):
                continue
            share = (counts > 0).mean(axis=0)[order]
            left.plot(100 * share, color=colours[name], marker=".", markersize=3, linewidth=1.0)
            sizes = np.bincount(np.count_nonzero(counts, axis=1), minlength=9)[1:9]
            right.plot(np.arange(1, 9), 100 * sizes / sizes.sum(), color=colours[name], marker=".")
        left.set_xticks(range(len(order)), [SYMBOLS[i] for i in order.tolist()], fontsize=6.5)
        left.set_ylabel("formulas with the element, %")
        left.set_ylim(bottom=0)
        right.set_xlabel("elements in a formula")
        right.set_ylabel("formulas, %")
        right.set_ylim(bottom=0)
        for i, name in enumerate(name for name, counts in found.items() if len(counts)):
            left.text(0.98, 0.95 - 0.09 * i, name, color=colours[name], transform=left.transAxes, ha="right", va="top")

    caption = "Which elements are used, the 40 commonest of the training set, and how many of them make a formula."
    return Drawing("elements", "elements of generated formulas and of the training set", draw, caption, (9.6, 3.4))
