"""Own proposals: what the search among formulas finds by its oracle, how much of it is true, and what a chemist sees.

Nothing of it is in the paper. Rows of the authors' table that nobody was told of are what it is judged by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from agd.chem.formula import parse_formulas
from agd.db.reading.reports import charged
from agd.db.record import known_datasets
from agd.filters import PUBLISHED_TRIMS, Filter, FilterOptions
from agd.report.comparison import Compared as Gathered
from agd.report.comparison import gather
from agd.report.words import number
from agd.reproduction.authors import ORACLE_ROWS, SETS
from agd.reproduction.outcome import Compared, Figure, Line, Listed, Outcome, Part, Words
from agd.reproduction.stability import NEAR_HULL_EV, above_hull
from agd.reproduction.study import Study, Wish
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_once
from agd.steps.models.training_sets import find_dataset
from agd.steps.reading import overviews
from agd.target import Target
from agd.views import Suggested

_N_SHOWN: Final = 30

_STRICT: Final = Filter(FilterOptions(is_neutral_in_common_states=True))
"""One common oxidation state for each element makes the composition neutral."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What is sought, without which elements, and whether half of what is known is hidden from the search."""

    name: str
    title: str
    target: str
    denied: tuple[str, ...] = ()
    is_half_hidden: bool = False


HUNTS: Final = (
    Hunt("wide", "band gap of at least 6 eV", "band_gap >= 6 eV"),
    Hunt("hidden", "the same, half of all known formulas hidden from the search", "band_gap >= 6 eV", (), True),  # noqa: FBT003
    Hunt("no-fluorine", "band gap of at least 5 eV without F", "band_gap >= 5 eV", ("F",)),
    Hunt("window", "band gap of 2 to 4 eV", "2 eV < band_gap < 4 eV"),
)


@dataclass(frozen=True, slots=True)
class _Arm:
    name: str
    title: str
    sampler: str = ""


ARMS: Final = (
    _Arm("analogue", "analogue"),
    _Arm("random", "the same children at random", 'acquisition = "random"'),
)

SPECIFICATION: Final = """\
name = "search-{hunt}-{arm}-s{seed}{suffix}"
target = "{target}"
seed = {seed}

[data]
dataset = "{dataset}"
known = ["{known}"]

[initial]
file = "{initial}"

[budget]
oracle_calls = {calls}

[oracle]
kind = "ensemble"
dataset = "{labels}"
uses_known_labels = false

[sampler]
kind = "analogue"
{sampler}

[filter]
max_elements = 5
max_atoms = 20
max_count = 7
elements_denied = {denied}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Where a hunt goes on: the datasets of the start, of what is known besides, and of the oracle.

    `truth` is what the table says by formula, `there` what of it is wanted and not of the start.
    """

    hunt: Hunt
    dataset: str
    known: str
    labels: str
    truth: Mapping[str, float]
    there: frozenset[str]

    @classmethod
    def of(cls, study: Study, hunt: Hunt) -> Self:
        """The ground of a hunt, its datasets imported where they are missing."""
        labels, known = study.dataset("Exp1"), study.corpus()
        truth = study.files.band_gaps(ORACLE_ROWS)
        if not hunt.is_half_hidden:
            return cls(hunt, labels, known, labels, truth, _there(study, hunt, truth))
        hidden = hidden_half(study)
        rows = [
            (row.formula, row.band_gap_ev)
            for row, formula in zip(study.files.rows(ORACLE_ROWS), study.files.formulas(ORACLE_ROWS), strict=True)
            if formula not in hidden
        ]
        formulas = [[formula] for formula in sorted(_known_formulas(study) - hidden)]
        path = study.write_csv("agd-half-of-known.csv", ("composition",), formulas)
        half = import_once(study.workspace, path, "agd-half-of-known", ImportRules("composition"))
        of_hidden = {formula: value for formula, value in truth.items() if formula in hidden}
        return cls(hunt, study.listed("agd-half-of-exp1", rows), half, labels, truth, _there(study, hunt, of_hidden))


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A campaign that ended: its figures, what it was charged for in its order, and its best, best first."""

    campaign: Campaign
    gathered: Gathered
    labels: Mapping[str, float]
    top: Sequence[Suggested]


def search(study: Study, wish: Wish) -> Outcome:  # noqa: ARG001  it has nothing of the authors' own
    """Each hunt by each arm over seeds, and the best of the first seed, line by line."""
    seeds = study.protocol.seeds(study.protocol.al_seeds)
    grounds = {hunt: Ground.of(study, hunt) for hunt in HUNTS}
    found = {
        hunt: {arm: [_found(study, ground, arm, seed) for seed in seeds] for arm in ARMS}
        for hunt, ground in grounds.items()
    }
    parts: list[Part] = []
    for hunt, by_arm in found.items():
        lines = [line for arm, repeats in by_arm.items() for line in _lines(grounds[hunt], arm, repeats)]
        parts.append(Compared(f"Found: {hunt.title}", lines, _words(grounds[hunt])))
    shown = {hunt: by_arm[ARMS[0]][0].top for hunt, by_arm in found.items()}
    judged = above_hull(study, {hunt.name: [row.reduced_formula or "" for row in top] for hunt, top in shown.items()})
    parts.append(_judged(shown, judged))
    parts += [_listed(hunt, top, judged[hunt.name], grounds[hunt].truth) for hunt, top in shown.items()]
    wide = found[HUNTS[0]][ARMS[0]]
    n_finds = Figure.of([one.gathered.figures["n_finds"] for one in wide])
    lead = "" if n_finds is None else f"At least 6 eV by the oracle: {n_finds.text(0)} of {study.protocol.calls:,}."
    return Outcome("search", "Own proposals by the default search", lead, [*parts, Words("What was done", _ABOUT)])


_ABOUT: Final = (
    "The oracle is the ensemble trained on the authors' table without the rows of the start; compounds that it learned "
    "from it answers out of fold, by models that have not seen them, and the search never gets the table's own label. "
    "What the table says of compounds that were labelled is the truth they are judged by here.",
    "A hidden compound is in none of the data sets that the search takes for known: neither parent nor candidate, and "
    "no formula is an analogue by it. It is found where it is made.",
    "The judge of stability is asked by nobody before this page. It learned from the lowest energy above the hull of "
    "each formula of the Materials Project, without the chemical systems that it is asked about.",
)


def _found(study: Study, ground: Ground, arm: _Arm, seed: int) -> Found:
    hunt = ground.hunt
    text = SPECIFICATION.format(
        hunt=hunt.name,
        arm=arm.name,
        seed=seed,
        suffix=study.protocol.suffix,
        target=hunt.target,
        dataset=ground.dataset,
        known=ground.known,
        initial=study.files.path(SETS["Exp3 BS"]).resolve(),
        calls=study.protocol.calls,
        labels=ground.labels,
        sampler=arm.sampler,
        denied=list(hunt.denied),
    )
    campaign = study.campaign(text)
    with study.workspace.database.read() as tx:
        labels = {row.reduced_formula: row.value for row in charged(tx, campaign.id)}
        return Found(campaign, gather(tx, campaign.name), labels, overviews.top_finds(tx, campaign.id, _N_SHOWN))


def _known_formulas(study: Study) -> set[str]:
    """The reduced formulas of the list that the default search takes for known."""
    name = study.corpus()
    with study.workspace.database.read() as tx:
        return set(known_datasets.formulas_of(tx, [find_dataset(tx, name).id]))


def hidden_half(study: Study) -> frozenset[str]:
    """Half of all known reduced formulas, none of the start among them."""
    start = set(study.files.formulas(SETS["Exp3 BS"]))
    every = sorted((set(study.files.formulas(ORACLE_ROWS)) | _known_formulas(study)) - start)
    chosen = np.random.default_rng(0).permutation(len(every))[: len(every) // 2]
    return frozenset(every[i] for i in chosen.tolist())


def _there(study: Study, hunt: Hunt, truth: Mapping[str, float]) -> frozenset[str]:
    """Which of these compounds are wanted and not of the start; of hidden ones those that can be proposed."""
    wanted = Target.parse(hunt.target)
    start = set(study.files.formulas(SETS["Exp3 BS"]))
    formulas = [formula for formula in truth if formula not in start]
    counts, _ = parse_formulas(formulas)
    rule = Filter(FilterOptions(elements_denied=hunt.denied))
    if hunt.is_half_hidden:
        trims = PUBLISHED_TRIMS.given()
        rule = Filter(FilterOptions(is_neutral_in_common_states=True, is_electronegativity_balanced=True, **trims))
    is_there = wanted.holds(np.array([truth[f] for f in formulas])) & rule.judge(counts).mask
    return frozenset(f for f, there in zip(formulas, is_there.tolist(), strict=True) if there)


def _lines(ground: Ground, arm: _Arm, repeats: Sequence[Found]) -> list[Line]:
    wanted, truth, there = Target.parse(ground.hunt.target), ground.truth, ground.there
    columns: dict[str, list[float | None]] = {}
    for one in repeats:
        figures = one.gathered.figures
        is_found = wanted.holds(np.array(list(one.labels.values()), np.float64)).tolist()
        real = [formula for formula, found in zip(one.labels, is_found, strict=True) if found and formula in truth]
        n_true = int(wanted.holds(np.array([truth[formula] for formula in real], np.float64)).sum())
        counts, _ = parse_formulas(list(one.labels))
        quantities: dict[str, float | None] = {
            "found by the oracle": figures["n_finds"],
            "with one sigma to spare": figures["n_finds_by_bound"],
            "chemical systems": figures["n_chemical_systems"],
            "real ones hit": len(there & one.labels.keys()),
            "real among found": len(real),
            "of them truly so, %": 100.0 * n_true / len(real) if real else None,
            "strict of labelled, %": 100.0 * float(_STRICT.judge(counts).mask.mean()) if len(counts) else None,
            "undecodable, %": 100.0 * (figures["undecodable_share"] or 0.0),
            "charged twice": figures["n_calls"] - figures["n_distinct"],
        }
        for name, value in quantities.items():
            columns.setdefault(name, []).append(value)
    rests_on = [f"campaign {one.campaign.name}" for one in repeats]
    return [
        Line(
            arm.title,
            name,
            Figure.of([float(value) for value in values if value is not None]),
            decimals=1 if name.endswith("%") else 0,
            rests_on=rests_on,
        )
        for name, values in columns.items()
    ]


def _words(ground: Ground) -> tuple[str, ...]:
    n = len(ground.there)
    if ground.hunt.is_half_hidden:
        return (f"Real ones to hit: {n:,} hidden compounds of the table that are so, balance, and pass the trims.",)
    return (f"Real ones to hit: {n:,} compounds of the table are so and not known at the start.",)


def _judged(shown: Mapping[Hunt, Sequence[Suggested]], judged: Mapping[str, Sequence[float]]) -> Compared:
    lines = [
        Line(hunt.title, f"of the first {len(top)}", _near(judged[hunt.name]), decimals=0)
        for hunt, top in shown.items()
        if top
    ]
    random = judged["random"]
    lines.append(Line("known formulas at random", f"of the first {len(random)}", _near(random), decimals=0))
    return Compared(f"Within {NEAR_HULL_EV:g} eV/atom of the hull, by a judge that no search asks", lines)


def _near(values: Sequence[float]) -> Figure:
    return Figure(float(sum(value <= NEAR_HULL_EV for value in values)))


def _listed(hunt: Hunt, top: Sequence[Suggested], hull: Sequence[float], truth: Mapping[str, float]) -> Listed:
    columns = ["formula", "label, eV", "one sigma", "known", "the table says, eV", "above hull, eV/atom (judge)"]
    rows = [
        [
            row.reduced_formula,
            number(row.value),
            number(row.uncertainty),
            "known" if row.is_known else "new",
            number(truth.get(row.reduced_formula or "")),
            number(above),
        ]
        for row, above in zip(top, hull, strict=True)
    ]
    return Listed(f"The first {len(top)}: {hunt.title}", columns, rows)
