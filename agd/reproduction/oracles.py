"""Oracles judged where they were blind: wide gaps without fluorine, sigma in the tail, and metals. Not in the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import SYMBOLS
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.db.record.models import Part
from agd.nets.threads import limited_threads
from agd.reproduction.entries import entries
from agd.reproduction.generated import index
from agd.reproduction.outcome import Compared, Figure, Line, Outcome, Words
from agd.reproduction.study import PROPERTY, Study, Wish, facts_of
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_once
from agd.steps.models.training import Trained
from agd.types import Floats, Prediction

WIDE_EV: Final = 5.0
"""From here on gaps are few, and trees fall short of those without fluorine."""

_HELD_OUT: Final = 0.1
_OF_SYSTEMS: Final = 0.2
_FLUORINE: Final = SYMBOLS.index("F")

R2: Final = "R2"
MAE: Final = "MAE, eV"
RECALL: Final = f"recall >= {WIDE_EV:g} eV without F"
COVERAGE: Final = "within one sigma"
TAIL_COVERAGE: Final = f"of answers >= {WIDE_EV:g} eV"
AUC: Final = "AUC, metal or not"


@dataclass(frozen=True, slots=True)
class Arm:
    """A kind of oracle with its options, and whether a first look leaves it out."""

    title: str
    kind: str
    given: Mapping[str, object] = field(default_factory=dict)
    is_for_full: bool = False


_BY_RANGE: Final = {"calibration": "by_range"}
_STACKED: Final = {"members": ("hist_gradient_boosting", "networks"), "weights": "fitted", **_BY_RANGE}
_MAPPING: Final = 0.7
"""At this share the out-of-fold answers find six in ten of the wide gaps without fluorine."""
BEST: Final = Arm(
    "boosting and networks, fitted weights, mapped by quantiles", "ensemble", {**_STACKED, "quantile_mapping": _MAPPING}
)
ARMS: Final = (
    Arm("random forest", "random_forest", is_for_full=True),
    Arm("extra trees, mean", "extra_trees"),
    Arm("extra trees, mean, sigma by range", "extra_trees", _BY_RANGE, is_for_full=True),
    Arm("extra trees, median, sigma by range", "extra_trees", {"answer": "median", **_BY_RANGE}),
    Arm("gradient boosting, sigma by range", "hist_gradient_boosting", _BY_RANGE, is_for_full=True),
    Arm("networks", "networks"),
    Arm("ensemble of trees", "ensemble", is_for_full=True),
    Arm("boosting and networks, fitted weights", "ensemble", _STACKED, is_for_full=True),
    BEST,
)
METALS: Final = (
    Arm("extra trees of all gaps", "extra_trees"),
    Arm("hurdle", "hurdle"),
    Arm("hurdle, gate of trees and networks", "hurdle", {"gate": ("extra_trees", "networks")}, is_for_full=True),
)


def oracles(study: Study, wish: Wish) -> Outcome:  # noqa: ARG001  it has nothing of the authors' own
    """Each oracle on rows that it never saw, and what tells metals apart."""
    gaps = [line for arm in _chosen(study, ARMS) for line in gap_lines(study, arm)]
    metals = [line for arm in _chosen(study, METALS) for line in metal_lines(study, arm)]
    best = {line.quantity: line.ours for line in gaps if line.row == BEST.title}
    said = [f"{quantity} {found.text(3)}" for quantity, found in best.items() if found is not None]
    return Outcome(
        "oracles",
        "Oracles that are not blind",
        f"{BEST.title.capitalize()}: {'; '.join(said)}.",
        [
            Compared("Band gaps of the authors' table, a tenth held out", gaps, _ABOUT_GAPS),
            Compared("Metals: a fifth of the chemical systems held out", metals, _ABOUT_METALS),
            Words("What was done", _ABOUT),
        ],
    )


_ABOUT_GAPS: Final = (
    f"Recall: of the held-out compounds without fluorine whose gap is {WIDE_EV:g} eV or more, the share that is "
    f"answered so. One sigma should hold 68 % of the errors, also where the answer is {WIDE_EV:g} eV or more.",
    f"Mapped by quantiles: {_MAPPING:.0%} of the way from a mean, which is too seldom wide, to the distribution of the "
    "values.",
)
_ABOUT_METALS: Final = (
    "The area under the ROC curve: how often a compound with a gap is put before a metal; by p(gap > 0) of a hurdle, "
    "by the answer of the others. Each formula has the gap of its lowest entry; no formula of a held-out chemical "
    "system was learned from.",
)
_ABOUT: Final = (
    "Each repeat draws its own held-out rows, by its seed: a tenth of the compositions, a fifth of the chemical "
    "systems. Answers are raised to zero. Every model is one of the record.",
)


def gap_lines(study: Study, arm: Arm) -> list[Line]:
    """How an oracle does on the held-out tenth."""
    found: dict[str, list[float]] = {name: [] for name in (R2, MAE, RECALL, COVERAGE, TAIL_COVERAGE)}
    rests_on = []
    for seed in study.protocol.seeds(study.protocol.oracle_repeats):
        parts = study.members_apart(study.dataset("Exp1"), partial(_drawn, seed))
        model = _trained(study, arm, parts, seed)
        rests_on.append(facts_of(model))
        found[R2].append(model.metrics["r2"])
        found[MAE].append(model.metrics["mae"])
        for name, value in _judged(*_answered(study, model, parts)).items():
            found[name].append(value)
    return [
        Line(arm.title, name, Figure.of(values), rests_on=rests_on if name == R2 else ())
        for name, values in found.items()
    ]


def metal_lines(study: Study, arm: Arm) -> list[Line]:
    """How well metals are told from the rest in chemical systems that were held out."""
    from sklearn.metrics import roc_auc_score

    dataset = lowest_gaps(study)
    aucs, maes, rests_on = [], [], []
    for seed in study.protocol.seeds(study.protocol.oracle_repeats):
        parts = study.members_apart(dataset, partial(_drawn_systems, seed))
        model = _trained(study, arm, parts, seed)
        rests_on.append(facts_of(model))
        if (auc := model.metrics.get("zero_auc")) is None:
            _, values, prediction = _answered(study, model, parts)
            auc = float(roc_auc_score(values > 0.0, prediction.values))
        aucs.append(auc)
        maes.append(model.metrics["mae"])
    return [
        Line(arm.title, AUC, Figure.of(aucs), rests_on=rests_on),
        Line(arm.title, MAE, Figure.of(maes)),
    ]


def lowest_gaps(study: Study) -> str:
    """The dataset of the band gap of the lowest entry of each formula of the Materials Project.

    Raises:
        InputError: the table is not there, has no such columns, or a value is no number.
    """
    path = study.write_csv("agd-mp-gaps.csv", ("composition", "Eg"), sorted(lowest(index(study)).items()))
    return import_once(study.workspace, path, "agd-mp-gaps", ImportRules("composition", "Eg", PROPERTY, "eV"))


def lowest(path: Path) -> dict[str, float]:
    """The band gap, eV, of the lowest entry of each formula of a table of the Materials Project.

    Raises:
        InputError: the table has no such columns, or a value is no number.
    """
    found: dict[str, tuple[float, ...]] = {}
    for formula, values in entries(path, ("e_form_eV_atom", "band_gap_eV")):
        found[formula] = min(values, found.get(formula, values))
    return {formula: gap for formula, (_, gap) in found.items()}


def _chosen(study: Study, arms: Sequence[Arm]) -> list[Arm]:
    return [arm for arm in arms if not (arm.is_for_full and study.protocol.oracle_repeats == 1)]


def _trained(study: Study, arm: Arm, parts: Sequence[Part], seed: int) -> Trained:
    title = f"{arm.title}, seed {seed}"
    return study.train(title, parts, kind=arm.kind, is_oracle=True, seed=seed, given={"minimum": 0.0, **arm.given})


def _answered(study: Study, model: Trained, parts: Sequence[Part]) -> tuple[NDArray[np.bool_], Floats, Prediction]:
    """Of the held-out rows `[n]`: which hold fluorine, their values, and what a model says."""
    rows = [member for part in parts for member in part.members if member.is_held_out]
    counts, _ = parse_formulas([row.reduced_formula for row in rows])
    assert model.model_version_id is not None  # noqa: S101  it was trained
    with limited_threads(study.threads):
        prediction = study.workspace.oracle(model.model_version_id).label(counts)
    return counts[:, _FLUORINE] > 0, np.array([row.value for row in rows], dtype=np.float64), prediction


def _judged(has_fluorine: NDArray[np.bool_], values: Floats, prediction: Prediction) -> dict[str, float]:
    """What can be told of them: a share of nothing is left out."""
    is_within = np.abs(prediction.values - values) <= prediction.uncertainties
    is_wide = prediction.values >= WIDE_EV
    shares = (
        (RECALL, is_wide, (values >= WIDE_EV) & ~has_fluorine),
        (COVERAGE, is_within, np.ones(len(values), np.bool_)),
        (TAIL_COVERAGE, is_within, is_wide),
    )
    return {name: float(holds[among].mean()) for name, holds, among in shares if among.any()}


def _drawn(seed: int, formulas: Sequence[str]) -> NDArray[np.bool_]:
    """A tenth of the rows `[n]`."""
    n = len(formulas)
    return np.isin(np.arange(n), np.random.default_rng(seed).permutation(n)[: round(_HELD_OUT * n)])


def _drawn_systems(seed: int, formulas: Sequence[str]) -> NDArray[np.bool_]:
    """The rows `[n]` of a fifth of the chemical systems."""
    counts, _ = parse_formulas(formulas)
    systems, of_row = np.unique(np.array(identify(counts).chemical_system), return_inverse=True)
    n = round(_OF_SYSTEMS * len(systems))
    return np.isin(of_row, np.random.default_rng(seed).permutation(len(systems))[:n])
