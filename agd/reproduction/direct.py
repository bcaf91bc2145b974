"""The direct search: what the authors' searches found above 5 eV by themselves, against what is known."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Final

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.chem.validity import assess
from agd.report.words import counted
from agd.reproduction import paper
from agd.reproduction.authors import INVERSE_DESIGN, SETS, reduced
from agd.reproduction.outcome import Listed, Outcome, Part, Words
from agd.reproduction.searches import DEFAULT, EXP3, PAPER, search
from agd.reproduction.study import Study, Wish

_LEAST_EV: Final = 5.0
_PRINTED: Final = ("RbSr2ClF4", "SiO2F", "PO2F", "SH2O3", "SiH2O3", "SiF3")
"""What section 3.3 and Table 2 say the direct search found, and SiH2O3, which the list holds in the place of SH2O3."""


def direct(study: Study, wish: Wish) -> Outcome:
    """The direct finds, the authors' 74 and ours: how many are known compounds, and how far off their labels are."""
    labels, known = study.files.band_gaps(INVERSE_DESIGN), study.files.band_gaps(SETS["Exp1"])
    inside = sorted((formula for formula in labels if formula in known), key=lambda f: known[f] - labels[f])
    errors = [labels[formula] - known[formula] for formula in inside]
    n_valid = len(_valid(list(labels)))
    n_high = sum(gap > paper.HIGH_EV for gap in labels.values())
    lead = (
        f"{len(labels)} formulas above {_LEAST_EV:g} eV by the oracle, {n_high} above {paper.HIGH_EV:g} eV; "
        f"{len(inside)} of them are known compounds of the oracle's own data set, where its labels are off by "
        f"{mean(map(abs, errors)):.2f} eV on average ({mean(errors):+.2f} eV too high)."
    )
    parts: list[Part] = [
        Listed(
            "Known compounds among the direct finds",
            ("compound", "label, eV", "Materials Project, eV", "difference"),
            [(formula, labels[formula], known[formula], labels[formula] - known[formula]) for formula in inside],
            (f"{n_valid} of {len(labels)} pass the validity rule, as the authors filtered them.",),
        ),
        *([] if wish.is_authors_data or wish.is_authors_lists else [_ours(study, known)]),
        _printed(study, labels, known),
        Words("What was done, and why", _EXPLAINED),
    ]
    return Outcome("direct", "Direct search in the latent space", lead, parts)


_EXPLAINED: Final = (
    "The list is the union of four search logs (kappa 100) above 5 eV that pass the validity rule. Its labels come "
    "from another state of the oracle than those of the AL sets: H2 has 6.4 eV here and 1.4 eV there.",
    "SH2O3 of Table 2 is SiH2O3 in the list. RbSr2ClF4, printed as found directly, is in no list that the "
    "authors ship; RbSr2Cl5, printed as a member of the starting set, is in none of the shipped starting sets.",
)


def _ours(study: Study, known: Mapping[str, float]) -> Listed:
    """What our searches of Exp3 found above the same gap, all seeds together, by the same rule."""
    rows = []
    for arm in (DEFAULT, PAPER):
        labels: dict[str, float] = {}
        for seed in study.protocol.seeds(study.protocol.al_seeds):
            found = search(study, EXP3, arm, seed)
            labels |= {f: v for f, v in zip(found.formulas, found.values.tolist(), strict=True) if v > _LEAST_EV}
        valid = _valid(list(labels))
        errors = [labels[formula] - known[formula] for formula in valid if formula in known]
        n_high = sum(labels[formula] > paper.HIGH_EV for formula in valid)
        off = f"{mean(map(abs, errors)):.2f}" if errors else "-"
        rows.append((arm.title, len(labels), len(valid), n_high, len(errors), off))
    columns = ("search", f"> {_LEAST_EV:g} eV", "valid", f"> {paper.HIGH_EV:g} eV", "known", "labels off there by, eV")
    seeds = counted(study.protocol.al_seeds, "seed")
    words = (f"The campaigns of Experiment 3, {seeds} together; known: a compound of the oracle's data set.",)
    return Listed("Our direct finds", columns, rows, words)


def _valid(formulas: Sequence[str]) -> list[str]:
    """Those that pass the authors' validity rule."""
    if not formulas:
        return []
    counts, _ = parse_formulas(formulas)
    is_valid = assess(identify(counts).counts).is_valid
    return [formula for formula, valid in zip(formulas, is_valid.tolist(), strict=True) if valid]


def _printed(study: Study, labels: dict[str, float], known: dict[str, float]) -> Listed:
    rows = []
    for formula in _PRINTED:
        key = reduced([formula], study.files.path(INVERSE_DESIGN))[0]
        label = f"{labels[key]:.3f}" if key in labels else "not in the list"
        rows.append((formula, label, f"{known[key]:.3f}" if key in known else "unknown"))
    return Listed("Direct finds that the paper prints", ("compound", "label, eV", "Materials Project, eV"), rows)
