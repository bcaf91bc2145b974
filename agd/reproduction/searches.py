"""Our own searches on the authors' sets: the arms, the rows that no model may see, and what each search found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from agd.db.reading.reports import charged
from agd.db.record import models
from agd.report.comparison import Compared as Gathered
from agd.report.comparison import gather
from agd.reproduction import paper
from agd.reproduction.authors import SETS, TEST_ROWS, Row, reduced
from agd.reproduction.generated import generated
from agd.reproduction.study import HIGH, Study
from agd.steps.campaign.campaigns import Campaign
from agd.steps.models.training import Trained
from agd.types import Floats

HIDDEN: Final = "agd-hidden-above-6ev"
_HONEST: Final = "agd-honest-test"

KAPPA_OF_PAPER: Final = 100.0
KAPPA_OF_OURS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to spend the calls: lines of a specification."""

    name: str
    title: str
    head: str = ""
    sampler: str = ""
    pool: str | None = None
    is_answered_by_table: bool = False
    is_filtered: bool = False


DEFAULT: Final = Arm(
    "default", "default (ucb, kappa 10)", sampler=f'kind = "ucb"\nkappa = {KAPPA_OF_OURS}', is_filtered=True
)
PAPER: Final = Arm(
    "paper",
    "paper mode (kappa 100)",
    head='mode = "paper"',
    sampler=f'kind = "ucb"\nkappa = {KAPPA_OF_PAPER}',
)
RANDOM: Final = Arm("random", "random latents", sampler='kind = "random"', is_filtered=True)
SUBSTITUTION: Final = Arm("substitution", "random substitutions", sampler='kind = "substitution"', is_filtered=True)
GENERATED: Final = Arm("generated", "random generated formulas", sampler='kind = "pool"', pool="generated")
KNOWN: Final = Arm("known", "random known formulas (distillation)", sampler='kind = "pool"', pool="known")
REAL: Final = Arm("real", "random real labels", sampler='kind = "pool"', pool="real", is_answered_by_table=True)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a search starts: a row of Table 1, or rows drawn from Exp1 up to a gap."""

    name: str
    row: str | None = None
    n: int | None = None
    at_most_ev: float | None = None


EXP2: Final = Start("exp2", row="Exp2 BS")
EXP3: Final = Start("exp3", row="Exp3 BS")
EXP4: Final = Start("exp4", n=300, at_most_ev=3.0)


@dataclass(frozen=True, slots=True)
class Search:
    """A campaign that ended, and what the record says of it; `formulas` and `values` are what it was charged for."""

    campaign: Campaign
    gathered: Gathered
    formulas: Sequence[str]
    values: Floats

    def records(self, study: Study) -> list[tuple[str, float]]:
        """Every charged record in its order, repeats included: formula and gap in eV."""
        with study.workspace.database.read() as tx:
            rows = charged(tx, self.campaign.id)
        return [(row.reduced_formula, row.value) for row in rows]


def hidden_rows(study: Study) -> list[tuple[str, float]]:
    """Half of the real compounds above 6 eV outside all starting sets and the 500: no model ever sees them."""
    rows = study.files.rows(SETS["Exp1"])
    spoken_for = {row.id for name in ("Exp2 BS", "Exp3 BS") for row in study.files.rows(SETS[name])}
    spoken_for |= {row.id for row in study.files.rows(TEST_ROWS)}
    wide = [row for row in rows if row.band_gap_ev > paper.HIGH_EV and row.id not in spoken_for]
    chosen = np.random.default_rng(0).permutation(len(wide))[: len(wide) // 2]
    return [(wide[i].formula, wide[i].band_gap_ev) for i in sorted(chosen.tolist())]


def hidden_formulas(study: Study) -> frozenset[str]:
    """Their reduced formulas."""
    return frozenset(reduced([formula for formula, _ in hidden_rows(study)], study.files.path(SETS["Exp1"])))


def unseen_formulas(study: Study) -> frozenset[str]:
    """The reduced formulas of the honest test: no oracle of a search and no screener learns from a label of them."""
    return hidden_formulas(study) | frozenset(study.files.formulas(TEST_ROWS))


def honest_test(study: Study) -> str:
    """The dataset of the 500 and the hidden rows: what neither oracle nor screener learned from."""
    test = [(row.formula, row.band_gap_ev) for row in study.files.rows(TEST_ROWS)]
    return study.listed(_HONEST, [*test, *hidden_rows(study)])


def screener(study: Study, campaign: Campaign, kind: str, given: Mapping[str, object]) -> Trained:
    """A model of what a search started from and found, without the rows of the honest test."""
    return study.train_on(campaign, kind, given, unseen_formulas(study))


def search(study: Study, start: Start, arm: Arm, seed: int) -> Search:
    """The campaign of an arm, run where it is not in the record yet."""
    campaign = study.campaign(_specification(study, start, arm, seed))
    with study.workspace.database.read() as tx:
        gathered = gather(tx, campaign.name)
        labels = models.learned_labels(tx, campaign.id, models.last_recorded(tx, campaign.id))
    values = np.array([label.value for label in labels], dtype=np.float64)
    return Search(campaign, gathered, [label.reduced_formula for label in labels], values)


SPECIFICATION: Final = """\
name = "{name}"
{head}
target = "{target}"
seed = {seed}

[data]
dataset = "{dataset}"

[initial]
file = "{initial}"

[budget]
oracle_calls = {calls}

[autoencoder]
corpus = "{corpus}"

[oracle]
{oracle}

[sampler]
{sampler}

{filter}
"""

_UNFILTERED: Final = "[filter]\nis_neutral_in_common_states = false"
_FILTER: Final = f"{_UNFILTERED}\nis_charge_neutral = true\nis_electronegativity_balanced = true"


def _specification(study: Study, start: Start, arm: Arm, seed: int) -> str:
    sampler = arm.sampler
    knows = "" if "paper" in arm.head else "uses_known_labels = false\n"
    oracle = (
        f'kind = "random_forest"\n{knows}exclude = ["{study.files.path(TEST_ROWS).resolve()}", "{_hidden_file(study)}"]'
    )
    name = arm.name
    if arm.pool is not None:
        pool = _pool(study, start, arm.pool)
        name = pool.removeprefix("agd-") if arm.pool == GENERATED.pool else name
        sampler += f'\npool = "{pool}"'
        if arm.is_answered_by_table:
            oracle = f'kind = "table"\ndataset = "{pool}"'
    return SPECIFICATION.format(
        name=f"{start.name}-{name}-s{seed}{study.protocol.suffix}",
        head=arm.head,
        target=HIGH.text,
        seed=seed,
        dataset=study.dataset("Exp1"),
        initial=_initial(study, start),
        calls=study.protocol.calls,
        corpus=study.corpus(),
        oracle=oracle,
        sampler=sampler,
        filter=_FILTER if arm.is_filtered else "" if "paper" in arm.head else _UNFILTERED,
    )


def _hidden_file(study: Study) -> Path:
    return study.write_csv("hidden-above-6ev.csv", ("composition", "Eg"), hidden_rows(study)).resolve()


def _initial(study: Study, start: Start) -> Path:
    """The file of the rows that a search starts from."""
    if start.row is not None:
        return study.files.path(SETS[start.row]).resolve()
    rows = [row for row in _free_rows(study) if start.at_most_ev is None or row.band_gap_ev <= start.at_most_ev]
    chosen = np.random.default_rng(0).permutation(len(rows))[: start.n]
    drawn = [(rows[i].formula, rows[i].band_gap_ev) for i in sorted(chosen.tolist())]
    return study.write_csv(f"{start.name}-initial.csv", ("composition", "Eg"), drawn).resolve()


def _free_rows(study: Study) -> list[Row]:
    """Rows of Exp1 that are neither in the 500 nor hidden."""
    hidden = {formula for formula, _ in hidden_rows(study)}
    test = {row.id for row in study.files.rows(TEST_ROWS)}
    return [row for row in study.files.rows(SETS["Exp1"]) if row.id not in test and row.formula not in hidden]


def _pool(study: Study, start: Start, name: str) -> str:
    """The dataset of a pool."""
    if name == "known":
        return study.corpus()
    if name == "real":
        initial = {row.id for row in study.files.rows(SETS[start.row])} if start.row is not None else set()
        rows = [(row.formula, row.band_gap_ev) for row in _free_rows(study) if row.id not in initial]
        return study.listed(f"agd-real-for-{start.name}", rows)
    return generated(study)


def mean_curve(searches: Sequence[Search], n_calls: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Distinct finds after each call over repeats: calls, mean, least, most."""
    calls = np.arange(n_calls + 1, dtype=np.float64)
    curves = np.array([_at(one.gathered.trace.finds(), calls) for one in searches])
    return calls, curves.mean(axis=0), curves.min(axis=0), curves.max(axis=0)


def _at(curve: tuple[Floats, Floats], calls: Floats) -> Floats:
    """A step curve at some calls."""
    x, y = curve
    found: Floats = y[np.clip(np.searchsorted(x, calls, side="right") - 1, 0, len(y) - 1)]
    return found
