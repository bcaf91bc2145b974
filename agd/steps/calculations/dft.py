"""Calculations by first principles: each once, in a folder of its own, which the next attempt goes on with."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agd import methods as kinds
from agd import plugin_faults
from agd.chem.structures import canonical, volume_a3
from agd.config import load_settings
from agd.db.connection import Transaction
from agd.db.record import activities, calculations, campaigns, dft, jobs, methods, stability
from agd.db.record.calculations import Answer, Spent
from agd.db.record.jobs import Needs, NewJob
from agd.errors import BusyError, InputError, StepError
from agd.progress import Progress, Share, silent
from agd.recipes import Calculated, IonicStep, Launch
from agd.steps.calculations.dft_plans import GROUP, DftPlan, Prepared, prepared
from agd.steps.calculations.programs import Ended, last_words, run
from agd.steps.structures.crystals import store_crystals
from agd.types import Structure
from agd.views import Calculation, DftDone, of_row
from agd.work.leases import performed
from agd.work.workspace import Workspace

if TYPE_CHECKING:
    from agd.protocols import DftEngine

LOOK_S: Final = 5.0
"""How often the steps of a program at work are taken into the record."""

_BUSY: Final = 75
_MAX_DEATHS: Final = 3
"""How often in one attempt a program may die without a word."""


def dft_of(workspace: Workspace, one: Prepared, progress: Progress = silent) -> DftDone:
    """What a calculation comes to, computed where it is not there.

    Raises:
        StepError: it failed, and nothing that its engine knows to mend it helped; or its job is held, parked or
            cancelled, and this is a firework.
        BusyError: another program is at work in its folder.
    """
    was_there = one.was_done
    if not was_there:
        new = new_job(workspace, one)
        try:
            with performed(workspace, new, threads=one.plan.n_cores) as activity_id:
                was_there = activity_id is None
                if activity_id is not None:
                    _Attempt(workspace, one, activity_id, progress).perform()
        except CalculationError as error:
            if workspace.launch is None and workspace.attempt is None:  # no queue judges it
                with workspace.database.transaction() as tx:
                    jobs.park(tx, jobs.ensure(tx, new), str(error))
            raise
    with workspace.database.read() as tx:
        return _told(tx, one, was_there=was_there)


def dft_of_all(
    workspace: Workspace, plan: DftPlan, progress: Progress = silent
) -> tuple[list[DftDone], dict[str, str]]:
    """What every calculation of a plan comes to, and by formula why some have none: one that failed stops no other.

    Raises:
        NotFoundError: the engine is not installed.
    """
    found, failed = prepared(workspace, plan)
    done = []
    for position, one in enumerate(found):
        try:
            done.append(dft_of(workspace, one, Share(progress, position, len(found), one.structure.reduced_formula)))
        except (StepError, BusyError) as error:
            failed[one.structure.reduced_formula] = str(error)
    return done, failed


def new_job(workspace: Workspace, one: Prepared) -> NewJob:
    """The job of a calculation, which keeps all that whoever does it has to know."""
    with workspace.database.read() as tx:
        campaign = None if one.plan.campaign is None else campaigns.find(tx, one.plan.campaign)
    plan = replace(one.plan, formulas=(one.structure.reduced_formula,), structure_id=one.structure.id)
    return NewJob(
        "dft",
        one.title,
        one.key,
        None if campaign is None else campaign.id,
        request=plan.as_request(),
        needs=Needs(n_cores=one.plan.n_cores, programs=(one.recipe.engine,)),
    )


def folder_of(workspace: Workspace, key: str) -> Path:
    """Where the files of a calculation are."""
    return workspace.artifacts.parent / "calculations" / key


class _Attempt:
    """One attempt at a calculation: it begins where the folder is, and writes back what there is at each look."""

    def __init__(self, workspace: Workspace, one: Prepared, activity_id: int, progress: Progress) -> None:
        self.workspace, self.one, self.activity_id, self.progress = workspace, one, activity_id, progress
        self.engine: DftEngine = one.plan.made()
        self.folder = folder_of(workspace, one.key)
        self.ended: list[Ended] = []
        self.n_steps = 0

    def perform(self) -> None:
        """Run the program, mend it while that helps, and store what comes of it.

        Raises:
            StepError: it is given up.
        """
        calculation_id = self._open()
        try:
            self._write()
            found = self._run(calculation_id)
            self._store(calculation_id, found)
        except BaseException as error:
            outcome = getattr(error, "failure", "cut off" if not isinstance(error, Exception) else "program")
            with self.workspace.database.transaction() as tx:
                calculations.end_attempt(tx, self.activity_id, outcome, self._spent())
            raise

    def _open(self) -> int:
        one, recipe = self.one, self.one.recipe
        values = {
            "name": recipe.method,
            "kind": "dft",
            "fidelity": kinds.FIDELITIES["dft"],
            "description": f"by the engine {recipe.engine}",
        }
        asked = calculations.Recipe(recipe.engine, recipe.kind, recipe.inputs, method=recipe.method)
        with self.workspace.database.transaction() as tx:
            methods.store(tx, values, self.activity_id)
            recipe_id = calculations.keep_recipe(tx, asked, None, self.activity_id)
            attempt = activities.find(tx, self.activity_id)
            campaign = None if one.plan.campaign is None else campaigns.find(tx, one.plan.campaign)
            calculation_id = calculations.open_calculation(
                tx,
                one.structure.id,
                recipe_id,
                self.activity_id,
                job_id=None if attempt is None else attempt.job_id,
                campaign_id=None if campaign is None else campaign.id,
                screening_id=one.plan.screening_id,
            )
            calculations.start_attempt(
                tx,
                self.activity_id,
                calculation_id,
                self.engine.version,
                n_cores=one.plan.n_cores,
                folder=str(self.folder),
            )
        return calculation_id

    def _write(self) -> None:
        """Have the folder, whole or not at all: one that is there is gone on with."""
        if self.folder.is_dir():
            self._reopen()
            return
        part = self.folder.with_name(f"{self.folder.name}.{self.activity_id}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with plugin_faults.blamed(GROUP, self.one.plan.engine, "write"):
            self.engine.write(self.one.structure.structure, self.one.recipe, part)
        part.rename(self.folder)

    def _reopen(self) -> None:
        """What had been given up is begun anew: somebody asked for it again."""
        if self._read().state == "failed" and self.engine.mend(self.folder, 1) is None:
            self.folder.rename(self.folder.with_name(f"{self.folder.name}.before-{self.activity_id}"))
            self._write()

    def _run(self, calculation_id: int) -> Calculated:
        n_failed = n_died = 0
        command = getattr(load_settings(), f"{self.one.plan.engine}_command", None)
        words = self.engine.command(Launch(self.one.plan.n_cores, command))
        while True:
            ended = run(words, self.folder, lambda: self._look(calculation_id), LOOK_S)
            self.ended.append(ended)
            found = self._look(calculation_id)
            if found.state == "done":
                return found
            if ended.exit_code == _BUSY:
                raise BusyError(f"{self.one.title}: another program is at work in {self.folder}")
            if found.state == "failed":
                n_failed += 1
                with plugin_faults.blamed(GROUP, self.one.plan.engine, "mend"):
                    mended = self.engine.mend(self.folder, n_failed)
                if mended is None:
                    raise CalculationError(self.one, found.failure or "program", found.reason or "it says nothing")
                self.progress(0, 0, f"{found.failure}: {mended}")
            else:
                n_died += 1
                if n_died >= _MAX_DEATHS:
                    how = f"signal {-ended.exit_code}" if ended.exit_code < 0 else f"exit code {ended.exit_code}"
                    failure = "cut off" if ended.exit_code < 0 else "program"
                    raise CalculationError(self.one, failure, f"{how}; at last it said {last_words(self.folder)!r}")

    def _read(self) -> Calculated:
        with plugin_faults.blamed(GROUP, self.one.plan.engine, "read"):
            return self.engine.read(self.folder)

    def _look(self, calculation_id: int) -> Calculated:
        """Take the steps into the record that are new."""
        found = self._read()
        if len(found.steps) > self.n_steps:
            with self.workspace.database.transaction() as tx:
                for number, step in enumerate(found.steps[self.n_steps :], start=self.n_steps + 1):
                    calculations.keep_step(tx, calculation_id, number, step.structure, _answer(step), self.activity_id)
            self.n_steps = len(found.steps)
            last = found.last.energy_ev_per_atom
            self.progress(self.n_steps, self.n_steps, f"step {self.n_steps}, {last:.4f} eV/atom")
        return found

    def _spent(self, corrections: Sequence[str] | None = None) -> Spent:
        told = self._read().corrections if corrections is None and self.folder.is_dir() else corrections or ()
        return Spent(
            sum(one.core_seconds for one in self.ended),
            sum(one.wall_seconds for one in self.ended),
            max((one.memory_bytes for one in self.ended), default=None),
            [{"words": words} for words in told],
        )

    def _store(self, calculation_id: int, found: Calculated) -> None:
        """Store energy, structure and gap with its label, in the transaction that ends the attempt."""
        kind, structure, last = self.one.recipe.kind, self.one.structure, found.last
        if kind == "gap" and found.bands is None:
            raise CalculationError(self.one, "bands", "it says nothing of bands")
        ended = last.structure if kind == "relax" else None
        with self.workspace.database.transaction() as tx:
            activities.hold(tx, self.activity_id)
            whole = replace(_answer(last), ended=ended)
            calculations.keep_answer(tx, calculation_id, calculations.WHOLE, whole, self.activity_id)
            if ended is not None:
                self._store_relaxed(tx, calculation_id, ended, len(found.steps))
            if kind == "gap" and found.bands is not None:
                bands = found.bands
                of_gap = {
                    "gap_ev": bands.gap_ev,
                    "direct_gap_ev": bands.direct_gap_ev,
                    "valence_k": _listed(bands.valence_at),
                    "conduction_k": _listed(bands.conduction_at),
                    "direct_k": _listed(bands.direct_at),
                    "n_kpoints": bands.n_points,
                    "n_bands": bands.n_bands,
                    "is_spin_polarised": bands.is_spin_polarised,
                }
                calculations.store_gap(tx, calculation_id, of_gap, self.activity_id)
                dft.store_label(
                    tx,
                    {
                        "composition_id": structure.composition_id,
                        "property": "band_gap",
                        "value": bands.gap_ev,
                        "structure_id": structure.id,
                        "calculation_id": calculation_id,
                        "activity_id": self.activity_id,
                    },
                )
            calculations.end_attempt(tx, self.activity_id, "done", self._spent(found.corrections))
            activities.finish(tx, self.activity_id)

    def _store_relaxed(self, tx: Transaction, calculation_id: int, ended: Structure, n_steps: int) -> None:
        structure = self.one.structure
        try:
            crystal = canonical(ended)
        except InputError as error:
            raise CalculationError(self.one, "structure", str(error)) from error
        (relaxed_id,) = store_crystals(tx, [crystal], structure.composition_id, self.activity_id)
        ratio = volume_a3(ended) / volume_a3(structure.structure)
        calculations.store_relaxed(tx, calculation_id, relaxed_id, ratio, n_steps - 1, self.activity_id)


class CalculationError(StepError):
    """A calculation that failed for good; its class is kept with the attempt."""

    def __init__(self, one: Prepared, failure: str, reason: str) -> None:
        super().__init__(f"{one.title}: {failure}: {reason}")
        self.failure = failure


def _told(tx: Transaction, one: Prepared, *, was_there: bool) -> DftDone:
    recipe_id = calculations.find_recipe(tx, one.recipe.sha256)
    assert recipe_id is not None  # noqa: S101  its job is done
    calculation_id = calculations.find(tx, one.structure.id, recipe_id)
    assert calculation_id is not None  # noqa: S101
    gap = calculations.gap_of(tx, calculation_id)
    relaxed = calculations.relaxed_of(tx, calculation_id)
    claim = stability.claim(tx, one.structure.reduced_formula)
    return DftDone(
        calculation=of_row(Calculation, calculations.told(tx, calculation_id)),
        gap_ev=None if gap is None else gap.gap_ev,
        direct_gap_ev=None if gap is None else gap.direct_gap_ev,
        valence_k=None if gap is None else gap.valence_k,
        conduction_k=None if gap is None else gap.conduction_k,
        relaxed_id=None if relaxed is None else relaxed.structure_id,
        claim=None if claim is None else str(claim.claim),
        was_there=was_there,
    )


def _answer(step: IonicStep) -> Answer:
    n_atoms = len(step.structure.species)
    return Answer(n_atoms * step.energy_ev_per_atom, step.forces_ev_per_angstrom, step.stress_gpa)


def _listed(place: tuple[float, float, float] | None) -> list[float] | None:
    return None if place is None else list(place)
