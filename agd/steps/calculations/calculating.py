"""Phonons and elastic constants of a formula or a structure: a job each, which bears a second run.

A potential answers for the cells, or a program of first principles.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db.connection import Transaction
from agd.db.record import activities, calculations, campaigns, dft, jobs, stability, structure_entries, structures
from agd.db.record.calculations import Recipe
from agd.db.record.jobs import NewJob
from agd.db.record.structures import StoredStructure
from agd.errors import FormulaError, InputError, NotFoundError, StepError
from agd.nets.threads import limited_threads
from agd.progress import Progress, Share, silent
from agd.steps.calculations.answering import Answering, answering
from agd.steps.calculations.attempts import attempted, compute, finish
from agd.steps.calculations.physics import MADE_OF, PHYSICS, MadeOf
from agd.steps.structures.relaxing import relaxed
from agd.views import Calculated, Calculation, CalculationPreview, Elasticity, Phonons, of_row
from agd.work.leases import performed
from agd.work.workspace import Workspace

ENGINE: Final = "sevennet"
"""The potential where nobody names one."""


@dataclass(frozen=True, slots=True)
class CalculationPlan:
    """What is asked: phonons or elastic constants, of which formula or structure, by which potential or program.

    `inputs` are those of the recipe that are not as usual. `campaign` is whom it serves, by name.

    Raises:
        InputError: the kind or an input is none.
    """

    kind: MadeOf
    of: str
    engine: str = ENGINE
    inputs: Mapping[str, Any] = field(default_factory=dict)
    campaign: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in MADE_OF:
            raise InputError(f"no calculation {self.kind!r}: {' or '.join(MADE_OF)}")
        if unknown := sorted(set(self.inputs) - set(PHYSICS[self.kind].inputs)):
            raise InputError(f"{self.kind}: no input {', '.join(unknown)}: {', '.join(PHYSICS[self.kind].inputs)}")

    def as_request(self) -> dict[str, Any]:
        """The plan in plain values of JSON."""
        return asdict(self)

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Self:
        """The plan that such values stand for."""
        return cls(**request)

    @property
    def title(self) -> str:
        """What a person reads of its job."""
        what = {"phonons": "phonons", "elastic": "elastic constants"}[self.kind]
        return f"{what} of {self.of} by {self.engine}"

    @property
    def all_inputs(self) -> dict[str, Any]:
        """Those of the recipe, all of them."""
        return {**PHYSICS[self.kind].inputs, **self.inputs}


def previewed(workspace: Workspace, plan: CalculationPlan) -> CalculationPreview:
    """What a plan would come to, from the cell as it is now; nothing is computed or stored but the potential's name.

    Raises:
        NotFoundError: the potential is not installed, or there is no structure.
    """
    by = answering(workspace, plan.engine)
    with workspace.database.read() as tx:
        start, is_relaxed = _start(tx, plan, by)
    parts = PHYSICS[plan.kind].parts(start.structure, plan.all_inputs)
    return CalculationPreview(
        kind=plan.kind,
        reduced_formula=start.reduced_formula,
        engine=plan.engine,
        structure_id=start.id,
        n_sites=len(start.structure.species),
        n_parts=len(parts),
        n_sites_of_part=len(parts[0].structure.species),
        is_relaxed_before=by.potential is not None and not is_relaxed,
        inputs=plan.all_inputs,
    )


def calculate(workspace: Workspace, plan: CalculationPlan, progress: Progress = silent) -> Calculated:
    """What a plan asks for, computed where it is not there: the cell is relaxed tightly, then its parts one by one.

    Raises:
        NotFoundError: the potential or phonopy is not installed, or there is no structure.
        StepError: the potential refused to relax the structure, or a strained cell came to no rest.
    """
    by = answering(workspace, plan.engine)
    start = _relaxed_start(workspace, plan, by, progress)
    recipe = by.recipe(plan.kind, plan.all_inputs)
    with workspace.database.read() as tx:
        recipe_id = calculations.find_recipe(tx, recipe.sha256)
        found = None if recipe_id is None else calculations.find(tx, start.id, recipe_id)
        if found is not None and calculations.told(tx, found).is_done:
            return _calculated(tx, found, was_there=True)
    new = NewJob(plan.kind, plan.title, jobs.key_of(plan.kind, start.cell_sha256, recipe.sha256))
    with performed(workspace, new) as activity_id:
        if activity_id is not None:
            _perform(workspace, plan, by, recipe, start, activity_id, progress)
    with workspace.database.read() as tx:
        recipe_id = calculations.find_recipe(tx, recipe.sha256)
        assert recipe_id is not None  # noqa: S101  its job is done
        found = calculations.find(tx, start.id, recipe_id)
        assert found is not None  # noqa: S101
        return _calculated(tx, found, was_there=activity_id is None)


def _perform(
    workspace: Workspace,
    plan: CalculationPlan,
    by: Answering,
    recipe: Recipe,
    start: StoredStructure,
    activity_id: int,
    progress: Progress,
) -> None:
    with workspace.database.transaction() as tx:
        recipe_id = by.keep(tx, recipe, activity_id)
        attempt = activities.find(tx, activity_id)
        campaign = None if plan.campaign is None else campaigns.find(tx, plan.campaign)
        calculation_id = calculations.open_calculation(
            tx,
            start.id,
            recipe_id,
            activity_id,
            job_id=None if attempt is None else attempt.job_id,
            campaign_id=None if campaign is None else campaign.id,
        )
    of, evaluate = start.structure, by.evaluate
    with attempted(workspace, activity_id, calculation_id, by.version) as meter, limited_threads(1):
        results = compute(workspace, calculation_id, activity_id, of, plan.kind, recipe.inputs, evaluate, progress)
        finish(workspace, calculation_id, activity_id, of, plan.kind, results, evaluate, meter)


def _relaxed_start(workspace: Workspace, plan: CalculationPlan, by: Answering, progress: Progress) -> StoredStructure:
    """The structure that is computed: by a potential relaxed tightly, unless it is what came of that."""
    with workspace.database.read() as tx:
        start, is_relaxed = _start(tx, plan, by)
    if is_relaxed or by.potential is None:
        return start
    row = relaxed(workspace, by.potential, start.id, Share(progress, 0, 1, f"relaxing {start.reduced_formula}"))
    if row.outcome == "refused":
        raise StepError(f"{start.reduced_formula}: {by.name} refused to relax structure {start.id}: {row.reason}")
    with workspace.database.read() as tx:
        return structures.some(tx, [row.structure_id])[row.structure_id]


def _start(tx: Transaction, plan: CalculationPlan, by: Answering) -> tuple[StoredStructure, bool]:
    """The structure of a number, of a name in the data sets, or the lowest of a formula; whether it is relaxed so.

    Raises:
        NotFoundError: there is none.
    """
    if plan.of.isdecimal():
        found = structures.some(tx, [int(plan.of)]).get(int(plan.of))
        if found is None:
            raise NotFoundError(f"no structure {plan.of}: give its number, a name in the data sets, or a formula")
    else:
        found = structures.some(tx, ids := [_named(tx, plan, by)])[ids[0]]
    it = by.potential
    return found, it is not None and stability.is_relaxed(tx, found.id, it.id, it.settings_sha256)


def _named(tx: Transaction, plan: CalculationPlan, by: Answering) -> int:
    ids = sorted({row.structure_id for row in structure_entries.found(tx, plan.of, None)})
    if len(ids) > 1:
        raise InputError(f"{plan.of!r} is the name of several structures: give the number of one: {ids}")
    if ids:
        return int(ids[0])
    try:
        formula = identify(parse_formula(plan.of)).reduced_formula[0]
    except FormulaError as error:
        raise NotFoundError(f"no structure {plan.of!r}, and it is no formula: {error}") from error
    if by.potential is not None:
        lowest = stability.lowest(tx, formula, by.potential.id, by.potential.settings_sha256)
    else:
        lowest = dft.start_of(tx, formula, by.method or "", is_relaxed=False)
    if lowest is None:
        potential = "sevennet" if by.potential is None else by.name
        raise NotFoundError(
            f"no structure of {formula}: `agd structure {formula} --potential {potential}` finds and relaxes some"
        )
    return lowest


def _calculated(tx: Transaction, calculation_id: int, *, was_there: bool) -> Calculated:
    row = calculations.told(tx, calculation_id)
    phonons = calculations.phonons_of(tx, calculation_id)
    elasticity = calculations.elasticity_of(tx, calculation_id)
    claim = stability.claim(tx, row.reduced_formula)
    assert claim is not None  # noqa: S101  it has a composition
    return Calculated(
        calculation=of_row(Calculation, row),
        phonons=None if phonons is None else of_row(Phonons, phonons),
        elasticity=None if elasticity is None else of_row(Elasticity, elasticity),
        claim=str(claim.claim),
        was_there=was_there,
    )
