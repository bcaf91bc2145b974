"""What is asked of an engine of first principles: which structures, by which recipe, and what that will take."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from agd import plugin_faults, registry
from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db.connection import Transaction
from agd.db.record import calculations, dft, jobs, structures
from agd.db.record.structures import StoredStructure
from agd.errors import AgdError, FormulaError, InputError, NotFoundError
from agd.protocols import DftEngine
from agd.recipes import Recipe
from agd.steps.structures.choosing import best_of
from agd.views import DftPreview
from agd.work.workspace import Workspace

GROUP = "agd.dft_engines"


@dataclass(frozen=True, slots=True)
class DftPlan:
    """What is asked: calculations of some formulas, or of one structure by its number, by an engine's recipe of a kind.

    `options` are those of the engine that are not as usual. `campaign` is whom it serves, by name, `screening_id` whose
    picks these are.

    Raises:
        InputError: there are no formulas.
    """

    formulas: tuple[str, ...]
    engine: str
    kind: str = "gap"
    options: Mapping[str, Any] = field(default_factory=dict)
    n_cores: int = 1
    campaign: str | None = None
    screening_id: int | None = None
    structure_id: int | None = None

    def __post_init__(self) -> None:
        if not self.formulas:
            raise InputError("no formulas: there is nothing to compute")

    def as_request(self) -> dict[str, Any]:
        """The plan in plain values of JSON."""
        return {**asdict(self), "formulas": list(self.formulas), "options": dict(self.options)}

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Self:
        """The plan that such values stand for."""
        return cls(**{**request, "formulas": tuple(request["formulas"])})

    def made(self) -> DftEngine:
        """The engine, with these options.

        Raises:
            NotFoundError: none of that name is installed.
        """
        kind = registry.load(GROUP, self.engine)
        with plugin_faults.blamed(GROUP, self.engine, "load"):
            engine: DftEngine = kind(kind.options_type.model_validate(dict(self.options)))
        return engine


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One calculation that a plan comes to; `was_done` says that it is there already."""

    structure: StoredStructure
    recipe: Recipe
    plan: DftPlan
    was_done: bool

    @property
    def key(self) -> str:
        """What its job is known by: one job for each structure and recipe."""
        return jobs.key_of("dft", self.structure.cell_sha256, self.recipe.sha256)

    @property
    def title(self) -> str:
        """What a person reads of its job, and FireWorks shows."""
        return (
            f"dft {self.recipe.kind} of {self.structure.reduced_formula} #{self.structure.id} by {self.recipe.engine}"
        )


def targets_of(workspace: Workspace, what: str, top: int) -> tuple[list[str], str | None, int | None]:
    """The formulas of a campaign, of a screening or of a formula itself, and the campaign and screening they serve.

    Raises:
        NotFoundError: it is none of these.
    """
    try:
        found, campaign = best_of(workspace, what, top)
    except NotFoundError as error:
        try:
            return [identify(parse_formula(what)).reduced_formula[0]], None, None
        except FormulaError:
            raise NotFoundError(f"{error}; nor is it a formula") from error
    return found, campaign, int(what) if what.isdecimal() and campaign != what else None


def prepared(workspace: Workspace, plan: DftPlan) -> tuple[list[Prepared], dict[str, str]]:
    """The calculations of a plan, refused ones apart with their reasons: before anything is submitted.

    Raises:
        NotFoundError: the engine is not installed.
        InputError: it has no recipe of that kind.
    """
    engine = plan.made()
    recipe = engine.recipe(plan.kind)
    assert engine.version is not None  # noqa: S101  it raises where the program is not there
    found, refused = [], {}
    with workspace.database.read() as tx:
        for formula in plan.formulas:
            try:
                structure = _structure(tx, plan, formula, recipe)
            except AgdError as error:
                refused[formula] = str(error)
                continue
            if (reason := engine.refusal(structure.structure, recipe)) is not None:
                refused[formula] = reason
                continue
            found.append(Prepared(structure, recipe, plan, _is_done(tx, structure.id, recipe)))
    return found, refused


def previews(workspace: Workspace, found: Sequence[Prepared]) -> list[DftPreview]:
    """What calculations are like, and what they will take by what others took before; None where there is no history.

    Time is taken to grow with k-points and with the square of atoms.
    """
    shown = []
    with workspace.database.read() as tx:
        rates: dict[str, float | None] = {}
        for one in found:
            engine = one.plan.made()
            n_atoms, n_points = engine.size(one.structure.structure, one.recipe)
            if one.recipe.sha256 not in rates:
                rates[one.recipe.sha256] = _seconds_per_size(tx, one.recipe, engine)
            rate = rates[one.recipe.sha256]
            shown.append(
                DftPreview(
                    reduced_formula=one.structure.reduced_formula,
                    structure_id=one.structure.id,
                    space_group=one.structure.space_group,
                    n_atoms=n_atoms,
                    n_k_points=n_points,
                    core_hours=None if rate is None else rate * n_points * n_atoms**2 / 3600,
                    is_done=one.was_done,
                )
            )
    return shown


def _seconds_per_size(tx: Transaction, recipe: Recipe, engine: DftEngine) -> float | None:
    """Core-seconds for each k-point and squared atom, the median of what was done before."""
    rows = dft.history(tx, recipe.engine, recipe.kind)
    rows = [row for row in rows if row.kind == recipe.kind] or rows
    cells = structures.some(tx, {row.structure_id for row in rows})
    rates = []
    for row in rows:
        n_atoms, n_points = engine.size(
            cells[row.structure_id].structure, Recipe(recipe.engine, row.method, row.kind, row.inputs)
        )
        rates.append(row.core_seconds / (n_points * n_atoms**2))
    return statistics.median(rates) if rates else None


def _structure(tx: Transaction, plan: DftPlan, formula: str, recipe: Recipe) -> StoredStructure:
    """The structure that is computed for a formula.

    Raises:
        NotFoundError: there is none.
    """
    structure_id = plan.structure_id
    if structure_id is None:
        named = identify(parse_formula(formula)).reduced_formula[0]
        structure_id = dft.start_of(tx, named, recipe.method, is_relaxed=recipe.kind == "relax")
        if structure_id is None:
            raise NotFoundError(f"no structure: `agd structure {named} --potential sevennet` finds and relaxes some")
    found = structures.some(tx, [structure_id]).get(structure_id)
    if found is None:
        raise NotFoundError(f"no structure {structure_id}")
    return found


def _is_done(tx: Transaction, structure_id: int, recipe: Recipe) -> bool:
    recipe_id = calculations.find_recipe(tx, recipe.sha256)
    found = None if recipe_id is None else calculations.find(tx, structure_id, recipe_id)
    return found is not None and bool(calculations.told(tx, found).is_done)
