"""Retrieval: how many real compounds of a wanted gap a search finds where true labels answer and no oracle flatters.

The pool is the authors' table with its gaps hidden; a table answers. Nothing of it is in the paper.
"""

from dataclasses import dataclass
from statistics import mean
from typing import Final

import numpy as np

from agd.chem.formula import parse_formulas
from agd.filters import Filter, FilterOptions
from agd.report.comparison import gather
from agd.reproduction.authors import SETS
from agd.reproduction.outcome import Compared, Figure, Line, Outcome, Words
from agd.reproduction.study import Study, Wish
from agd.target import Target

_AFTER: Final = (100, 300, 500, 1000)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is sought, from what, and without which elements."""

    name: str
    title: str
    target: str
    initial: str
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Arm:
    name: str
    title: str
    sampler: str


_RETRIEVAL: Final = 'kind = "retrieval"\npool = "{pool}"'
ARMS: Final = (
    _Arm("retrieval", "retrieval", _RETRIEVAL),
    _Arm("random", "random", f'{_RETRIEVAL}\nacquisition = "random"'),
)

_SPECIFICATION: Final = """\
name = "retrieval-{goal}-{arm}-s{seed}{suffix}"
target = "{target}"
seed = {seed}

[data]
dataset = "{pool}"

[initial]
{initial}

[budget]
oracle_calls = {calls}

[oracle]
kind = "table"

[sampler]
{sampler}

[filter]
is_neutral_in_common_states = false
elements_denied = {denied}
"""


def goals(study: Study) -> list[Goal]:
    """Wide gaps from the 300 of Experiment 3, a window from below it, and wide gaps without fluorine."""
    of_exp3 = f'file = "{study.files.path(SETS["Exp3 BS"]).resolve()}"'
    return [
        Goal("wide", "at least 6 eV, from the 300 of Exp3", "band_gap >= 6 eV", of_exp3),
        Goal("window", "2 to 4 eV, from 300 below 2 eV", "2 eV <= band_gap <= 4 eV", "n = 300\nat_most = 2.0"),
        Goal("no-fluorine", "at least 5 eV without F", "band_gap >= 5 eV", of_exp3, ("F",)),
    ]


def retrieval(study: Study, wish: Wish) -> Outcome:  # noqa: ARG001  it has nothing of the authors' own
    """What each search finds after so many calls, over seeds, and how many there are."""
    found = {goal: {arm: _curves(study, goal, arm) for arm in ARMS} for goal in goals(study)}
    parts = [
        Compared(
            f"Found: {goal.title}",
            [
                Line(arm.title, f"after {calls:,} calls", Figure.of([curve[calls] for curve in curves]), decimals=0)
                for arm, curves in by_arm.items()
                for calls in sorted(curves[0])
            ],
            (f"{_n_there(study, goal):,} of the pool are so, those of the start among them.",),
        )
        for goal, by_arm in found.items()
    ]
    first, curves = next(iter(found.items()))
    last = max(curves[ARMS[0]][0])
    lead = (
        f"{first.title}: {mean(curve[last] for curve in curves[ARMS[0]]):.0f} found after {last:,} calls, at random "
        f"{mean(curve[last] for curve in curves[ARMS[1]]):.0f}."
    )
    return Outcome("retrieval", "Retrieval of real compounds", lead, [*parts, Words("What was done", _ABOUT)])


_ABOUT: Final = (
    "The pool is the authors' table of compounds with their gaps hidden; each suggestion is answered by its row. No "
    "composition is filtered by its charges. Every call is a composition that was not known before.",
)


def _curves(study: Study, goal: Goal, arm: _Arm) -> list[dict[int, int]]:
    """Finds after so many calls, of each seed."""
    curves = []
    calls = study.protocol.calls
    for seed in study.protocol.seeds(study.protocol.al_seeds):
        pool = study.dataset("Exp1")
        text = _SPECIFICATION.format(
            goal=goal.name,
            arm=arm.name,
            seed=seed,
            suffix=study.protocol.suffix,
            target=goal.target,
            pool=pool,
            initial=goal.initial,
            calls=calls,
            sampler=arm.sampler.format(pool=pool),
            denied=list(goal.denied),
        )
        campaign = study.campaign(text)
        with study.workspace.database.read() as tx:
            trace = gather(tx, campaign.name).trace
        curves.append({n: int((trace.is_find & (trace.calls <= n)).sum()) for n in {*_AFTER, calls} if n <= calls})
    return curves


def _n_there(study: Study, goal: Goal) -> int:
    rows = study.files.rows(SETS["Exp1"])
    values = np.array([row.band_gap_ev for row in rows])
    counts, _ = parse_formulas([row.formula for row in rows])
    is_free = Filter(FilterOptions(elements_denied=goal.denied)).judge(counts).mask
    return int((Target.parse(goal.target).holds(values) & is_free).sum())
