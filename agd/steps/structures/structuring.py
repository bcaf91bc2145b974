"""From a formula to structures: templates, what a potential makes of them, and their distance from its hull, as rows.

One job for each composition: what is there already is kept, so that a second run adds what was missing.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from agd import registry
from agd.chem.formula import parse_formula
from agd.chem.hull import Hull, Phase
from agd.chem.identity import identify
from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, jobs, stability
from agd.db.record.jobs import NewJob
from agd.errors import InputError, NotFoundError, StepError
from agd.progress import Progress, Share, silent
from agd.steps.data.compositions import store_compositions
from agd.steps.structures.answering import answered, model_of_structures
from agd.steps.structures.phases import Member, competing, keep_distance, keep_set, systems_within
from agd.steps.structures.predicted_hulls import predicted_by_newest
from agd.steps.structures.relaxing import Potential, potential_named, relaxed
from agd.steps.structures.searching import GROUP, Search, searched
from agd.views import Claim, StructureCandidate, Structured, of_row, of_rows
from agd.work.leases import performed
from agd.work.workspace import Workspace

TEMPLATES = "substitution"
"""The plug-in of templates where nobody names one."""

N_TYPES = 10
"""Types of structure for each composition: relaxing as many leaves a mean regret of 14 meV/atom, three leave 56."""


@dataclass(frozen=True, slots=True)
class StructurePlan:
    """What is asked of compositions: so many types of structure each, and by which potential they are relaxed, if any.

    `campaign` is whom it serves, by name.

    Raises:
        InputError: there are no formulas, or no types are asked for.
    """

    formulas: tuple[str, ...]
    n_types: int = N_TYPES
    templates: str = TEMPLATES
    potential: str | None = None
    campaign: str | None = None

    def __post_init__(self) -> None:
        if not self.formulas:
            raise InputError("no formulas: there is nothing to find structures for")
        if self.n_types < 1:
            raise InputError(f"--types {self.n_types}: ask for one at least")

    def as_request(self) -> dict[str, Any]:
        """The plan in plain values of JSON."""
        return {**asdict(self), "formulas": list(self.formulas)}

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Self:
        """The plan that such values stand for."""
        return cls(**{**request, "formulas": tuple(request["formulas"])})

    def title_of(self, formula: str) -> str:
        """What a person reads of the job of one composition."""
        by = "" if self.potential is None else f", relaxed by {self.potential}"
        return f"structures of {formula}{by}"


def structure_of(workspace: Workspace, plan: StructurePlan, formula: str, progress: Progress = silent) -> Structured:
    """The structures of one composition of a plan, found, relaxed and placed where that was not done before.

    Raises:
        FormulaError: the formula does not parse.
        NotFoundError: a plug-in is not installed, or the record has no structures to look among.
    """
    named = identify(parse_formula(formula))
    potential = None if plan.potential is None else potential_named(workspace, plan.potential)
    search = Search.of(workspace, plan.templates, plan.n_types, named)
    search_id, was_there = searched(workspace, search)
    if potential is not None:
        key = jobs.key_of("structure", search.recipe_sha256, *potential.key)
        with performed(workspace, NewJob("structure", plan.title_of(search.formula), key)) as activity_id:
            was_there &= activity_id is None
            if activity_id is not None:
                found = _relax(workspace, potential, search, search_id, progress)
                with workspace.database.transaction() as tx:
                    _place(tx, potential, search, found, activity_id)
                    activities.finish(tx, activity_id)
    _ask_model(workspace, search_id)
    predicted = predicted_by_newest(workspace, [search.formula], is_kept=True)
    with workspace.database.read() as tx:
        there, claim = stability.find_search(tx, search.recipe_sha256), stability.claim(tx, search.formula)
        assert there is not None and claim is not None  # noqa: S101, PT018  it was done, or was there
        rows = stability.candidates(tx, search_id, None if potential is None else potential.id)
        systems = systems_within(search.named.chemical_system[0].split("-"))
        refused = {} if potential is None else stability.left_out(tx, potential.id, systems)
        return Structured(
            formula=search.formula,
            n_searched=there.n_searched,
            n_proposed=there.n_proposed,
            was_there=was_there,
            claim=of_row(Claim, claim),
            candidates=of_rows(StructureCandidate, rows),
            left_out=refused,
            predicted_e_above_hull_ev_per_atom=predicted.get(search.formula),
        )


def _ask_model(workspace: Workspace, search_id: int) -> None:
    """Ask the newest model of structures, where there is one, for what was proposed and for what became of it."""
    model = model_of_structures(workspace)
    if model is None:
        return
    with workspace.database.read() as tx:
        rows = stability.candidates(tx, search_id)
    ids = [one for row in rows for one in (row.structure_id, row.relaxed_id) if one is not None]
    answered(workspace, model, ids)


def structures_of(
    workspace: Workspace, plan: StructurePlan, progress: Progress = silent
) -> tuple[list[Structured], dict[str, str]]:
    """The structures of every composition of a plan, and by formula why some have none: the others go on.

    Raises:
        NotFoundError: a plug-in is not installed, so that none would have any.
    """
    registry.load(GROUP, plan.templates)
    if plan.potential is not None:
        potential_named(workspace, plan.potential)
    found, failed = [], {}
    for position, formula in enumerate(plan.formulas):
        share = Share(progress, position, len(plan.formulas), formula)
        try:
            found.append(structure_of(workspace, plan, formula, share))
        except (NotFoundError, InputError, StepError) as error:
            failed[formula] = str(error)
    return found, failed


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """What a potential made of candidates, and of the phases that compete with them; what it refused is left out."""

    own: Sequence[AnyRow]
    members: Sequence[Member]


def _relax(workspace: Workspace, potential: Potential, search: Search, search_id: int, progress: Progress) -> _Relaxed:
    """Relax every candidate, and then what competes with them.

    Raises:
        NotFoundError: the record has no structure of an element.
    """
    elements = search.named.chemical_system[0].split("-")
    with workspace.database.read() as tx:
        proposed = list(dict.fromkeys(row.structure_id for row in stability.candidates(tx, search_id)))
        rows = stability.structures_of(tx, systems_within(elements)) if proposed else []
    by_id = {row.structure_id: row for row in rows}
    todo = [*proposed, *(competing(rows, elements) if proposed else [])]
    done: list[AnyRow] = []
    began = time.monotonic()
    for structure_id in todo:
        left_s = (time.monotonic() - began) / max(len(done), 1) * (len(todo) - len(done))
        left = f", about {left_s:.0f} s left" if done else ""
        progress(len(done), len(todo), f"{len(done)} of {len(todo)} cells relaxed{left}")
        done.append(relaxed(workspace, potential, structure_id))
    own, phases = done[: len(proposed)], done[len(proposed) :]
    return _Relaxed(
        [row for row in own if row.outcome == "relaxed"],
        [_member(potential, by_id[row.from_id], row) for row in phases if row.outcome == "relaxed"],
    )


def _place(tx: Transaction, potential: Potential, search: Search, found: _Relaxed, activity_id: int) -> None:
    """Store how far relaxed candidates are from the hull of phases that the same potential relaxed.

    Raises:
        NotFoundError: no phase of an element was relaxed.
    """
    if not found.own:
        return
    hull = Hull.of_energies(member.phase for member in found.members)
    composition_id = int(store_compositions(tx, search.named, activity_id)[0])
    of_set = {
        "chemical_system": search.named.chemical_system[0],
        "potential_id": potential.id,
        "activity_id": activity_id,
    }
    phase_set_id = keep_set(tx, hull, found.members, of_set)
    for row in found.own:
        distance = hull.distance(Phase(search.formula, row.energy_ev_per_atom, hull.method, key=row.id))
        values = {
            "phase_set_id": phase_set_id,
            "composition_id": composition_id,
            "relaxation_id": row.id,
            "potential_id": potential.id,
            "activity_id": activity_id,
        }
        keep_distance(tx, distance, found.members, values)


def _member(potential: Potential, of: AnyRow, row: AnyRow) -> Member:
    """A relaxed phase; `of` is the structure that it was before."""
    method = " ".join(str(part) for part in potential.key)
    phase = Phase(of.reduced_formula, row.energy_ev_per_atom, method, key=row.id)
    return Member(phase, of.composition_id, row.id, None, of.cell_sha256)
