"""An attempt at a calculation made of parts: what was computed is kept part by part, and gone on from."""

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from agd.chem.settling import Evaluate
from agd.db.record import activities, calculations
from agd.db.record.calculations import Spent
from agd.errors import InputError, StepError
from agd.progress import Progress, silent
from agd.steps.calculations.physics import PHYSICS, answer_of
from agd.types import Structure
from agd.work.workspace import Workspace

_FIRST: Final = 1
"""The part whose cell the forces of the others are compared with, in phonons."""


def _core_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass(frozen=True, slots=True)
class Meter:
    """What this process, and those that it started and saw end, have taken since."""

    began_s: float = field(default_factory=time.monotonic)
    core_seconds: float = field(default_factory=_core_seconds)

    def spent(self, corrections: tuple[Any, ...] = ()) -> Spent:
        """Seconds of processors and of the clock, and the most memory that the process held so far."""
        most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return Spent(_core_seconds() - self.core_seconds, time.monotonic() - self.began_s, 1024 * most, corrections)


@contextmanager
def attempted(
    workspace: Workspace, activity_id: int, calculation_id: int, code_version: str, *, n_cores: int = 1
) -> Iterator[Meter]:
    """Say that an activity is an attempt at a calculation; where it fails, what it took and why, in a word.

    Where it succeeds, who computed it says so with the results.
    """
    meter = Meter()
    with workspace.database.transaction() as tx:
        calculations.start_attempt(tx, activity_id, calculation_id, code_version, n_cores=n_cores)
    try:
        yield meter
    except Exception as error:
        outcome = "structure" if isinstance(error, InputError | StepError) else "program"
        with workspace.database.transaction() as tx:
            calculations.end_attempt(tx, activity_id, outcome, meter.spent())
        raise


def compute(
    workspace: Workspace,
    calculation_id: int,
    activity_id: int,
    structure: Structure,
    kind: str,
    inputs: Mapping[str, Any],
    evaluate: Evaluate,
    progress: Progress = silent,
) -> dict[str, object]:
    """Have every part answered for that is not yet, each kept at once; what comes of them all, to be stored.

    `evaluate` is asked for one cell after another, whoever answers.

    Raises:
        StepError: the sites of a strained cell come to no rest.
    """
    physics = PHYSICS[kind]
    with workspace.database.read() as tx:
        was_begun = bool(calculations.n_parts(tx, calculation_id))
    if not was_begun:
        parts = physics.parts(structure, inputs)
        with workspace.database.transaction() as tx:
            calculations.keep_parts(tx, calculation_id, parts, activity_id)
    with workspace.database.read() as tx:
        left = calculations.parts_left(tx, calculation_id)
        n_parts = calculations.n_parts(tx, calculation_id)
    began = time.monotonic()
    for position, part in enumerate(left):
        left_s = (time.monotonic() - began) / max(position, 1) * (len(left) - position)
        words = f", about {left_s:.0f} s left" if position else ""
        n_done = n_parts - len(left) + position
        progress(n_done, n_parts, f"{n_done} of {n_parts} cells{words}")
        with workspace.database.read() as tx:
            cell = calculations.part_cell(tx, calculation_id, part)
        answer = answer_of(physics.answer(evaluate, cell, inputs), cell)
        with workspace.database.transaction() as tx:
            calculations.keep_answer(tx, calculation_id, part, answer, activity_id)
    with workspace.database.read() as tx:
        answers = calculations.answers(tx, calculation_id)
        first = calculations.part_cell(tx, calculation_id, _FIRST)
    return physics.results(structure, inputs, first, answers)


def finish(
    workspace: Workspace,
    calculation_id: int,
    activity_id: int,
    structure: Structure,
    kind: str,
    results: Mapping[str, object],
    evaluate: Evaluate,
    meter: Meter,
) -> None:
    """Store what came of it, with the energy of the whole, in the transaction that ends the activity."""
    whole = answer_of(evaluate(structure), structure)
    with workspace.database.transaction() as tx:
        activities.hold(tx, activity_id)
        calculations.keep_answer(tx, calculation_id, calculations.WHOLE, whole, activity_id)
        PHYSICS[kind].store(tx, calculation_id, results, activity_id)
        calculations.end_attempt(tx, activity_id, "done", meter.spent())
        activities.finish(tx, activity_id)
