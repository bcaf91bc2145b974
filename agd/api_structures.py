"""Structures from Python: what `agd structure`, `agd structures`, `agd hull` and the imports of crystals do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agd.db.record import structures
from agd.methods import UNSTATED
from agd.progress import Progress, silent
from agd.steps.data.importing import ImportSummary
from agd.steps.data.importing import import_phases as phases_imported
from agd.steps.structures import choosing, comparing, hulls, structuring
from agd.steps.structures.importing import StructureSummary
from agd.steps.structures.importing import import_structures as structures_imported
from agd.steps.structures.structuring import StructurePlan
from agd.views import HullOfComposition, StructureComparison, Structured
from agd.work.workspace import open_workspace

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure as Crystal


def structure(
    formula: str,
    n_types: int = 10,
    *,
    template: str = "substitution",
    potential: str | None = None,
    home: str | Path | None = None,
    database_url: str | None = None,
    progress: Progress = silent,
) -> Structured:
    """Find `n_types` types of structure that a formula may have; a potential relaxes them and places them on its hull.

    Raises:
        FormulaError: the formula does not parse.
        NotFoundError: a plug-in is not installed, or the record has no structures to look among.
    """
    plan = StructurePlan((formula,), n_types, template, potential)
    with open_workspace(home, database_url) as workspace:
        return structuring.structure_of(workspace, plan, formula, progress)


def crystals(found: Structured, *, home: str | Path | None = None, database_url: str | None = None) -> "list[Crystal]":
    """The candidates of a formula by rank as pymatgen's structures, relaxed where a potential did so."""
    from pymatgen.core.structure import Structure

    ids = [row.structure_id if row.relaxed_id is None else row.relaxed_id for row in found.candidates]
    with open_workspace(home, database_url) as workspace, workspace.database.read() as tx:
        there = structures.some(tx, ids)
    cells = [there[one].structure for one in ids]
    return [Structure(cell.lattice, cell.species, cell.frac) for cell in cells]


def structures_of(
    what: str | int,
    top: int = 20,
    *,
    n_types: int = 10,
    template: str = "substitution",
    potential: str = "sevennet",
    max_predicted_hull: float | None = None,
    home: str | Path | None = None,
    database_url: str | None = None,
    progress: Progress = silent,
) -> tuple[list[Structured], dict[str, str]]:
    """Find and relax structures of the best of a campaign (its name) or a screening (its number).

    Returns what was found, and by formula why some failed. Of the best only those are taken that an oracle predicts
    within `max_predicted_hull` eV/atom above the hull, where it is given.

    Raises:
        NotFoundError: there is no such campaign, screening or potential.
    """
    with open_workspace(home, database_url) as workspace:
        formulas, campaign = choosing.best_of(workspace, str(what), top, max_predicted_hull)
        plan = StructurePlan(tuple(formulas), n_types, template, potential, campaign)
        return structuring.structures_of(workspace, plan, progress)


def compare_structures(
    formulas: Sequence[str] = (),
    *,
    potential: str | None = None,
    model: str | None = None,
    home: str | Path | None = None,
    database_url: str | None = None,
) -> StructureComparison:
    """Compare how a model, templates and potentials rank the relaxed structures of formulas, or of all.

    Raises:
        NotFoundError: nothing was relaxed, or there is no such potential or model.
    """
    chosen = (formulas,) if isinstance(formulas, str) else formulas
    with open_workspace(home, database_url) as workspace:
        return comparing.compare(workspace, chosen, potential=potential, model=model)


def hull(
    formula: str,
    *,
    method: str | None = None,
    scheme: str | None = None,
    home: str | Path | None = None,
    database_url: str | None = None,
) -> HullOfComposition:
    """The hull at a formula by each method and correction scheme apart, in eV/atom, and what stands how far above.

    Raises:
        FormulaError: the formula does not parse.
    """
    with open_workspace(home, database_url) as workspace:
        return hulls.hull_of(workspace, formula, method=method, scheme=scheme)


def import_structures(
    paths: str | Path | Sequence[str | Path],
    name: str,
    *,
    method: str = UNSTATED,
    scheme: str = UNSTATED,
    labels_where: Mapping[str, Sequence[str]] | None = None,
    strict: bool = False,
    dry_run: bool = False,
    home: str | Path | None = None,
    database_url: str | None = None,
    progress: Progress = silent,
) -> StructureSummary:
    """Import crystals of files or folders with their labels under a name; the summary has what was refused.

    Where `labels_where` is given (`{"label_src": ["id"]}`), labels are taken only of crystals that hold it.

    Raises:
        InputError: a file, the method or the scheme is wrong, or the name is taken by other content.
    """
    chosen = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    with open_workspace(home, database_url) as workspace:
        return structures_imported(
            workspace,
            chosen,
            name,
            method=method,
            scheme=scheme,
            labels_where=labels_where,
            strict=strict,
            dry_run=dry_run,
            progress=progress,
        )


def import_phases(
    path: str | Path,
    name: str,
    *,
    method: str,
    scheme: str,
    formula_column: str = "formula",
    value_column: str = "formation_energy_ev_per_atom",
    strict: bool = False,
    dry_run: bool = False,
    home: str | Path | None = None,
    database_url: str | None = None,
) -> ImportSummary:
    """Import competing phases without structures: of each composition the lowest formation energy, in eV/atom.

    Raises:
        InputError: the file, a column, the method or the scheme is wrong, or the name is taken by other content.
    """
    columns = (formula_column, value_column)
    with open_workspace(home, database_url) as workspace:
        return phases_imported(
            workspace, Path(path), name, method=method, scheme=scheme, columns=columns, strict=strict, dry_run=dry_run
        )
