"""Comparing: how models and templates rank the structures of a formula, where a potential's energies are the truth."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.db.connection import AnyRow
from agd.db.record import structure_models
from agd.errors import FormulaError, NotFoundError
from agd.steps.structures.answering import answered, model_of_structures
from agd.types import Floats
from agd.views import ComparedFormula, ComparedStructure, Ranking, RankingOfAll, StructureComparison
from agd.work.workspace import Workspace

TEMPLATES = "order of templates"
RIGHT_MEV = 1.0
"""A choice this near to the lowest is right: two templates that relax to one structure end as near as that."""

NEAR_MEV = 25.0
"""What a group would still send on: the spread that is kept for DFT."""


@dataclass(frozen=True, slots=True)
class _Type:
    """A structure of a formula with the truth, and what each ranker says of it, lowest first."""

    row: AnyRow
    says: Mapping[str, float]


def compare(
    workspace: Workspace,
    formulas: Sequence[str] = (),
    *,
    potential: str | None = None,
    model: str | None = None,
) -> StructureComparison:
    """How the relaxed structures of formulas, or of all, are ranked; the model is asked for answers that are not there.

    Rankers are the order of templates, the model on structures as proposed and relaxed, and other potentials. A
    formula counts where at least two of its structures were relaxed by the `potential`, by default the one that
    relaxed most.

    Raises:
        FormulaError: a formula does not parse.
        NotFoundError: nothing was relaxed, or not by that potential; there is no such model.
    """
    keys = _keys(formulas) if formulas else None
    with workspace.database.read() as tx:
        rows = structure_models.relaxed(tx, keys)
    truth = potential or _commonest(rows)
    true = [row for row in rows if row.potential == truth]
    n_of = Counter(row.reduced_formula for row in true)
    true = [row for row in true if n_of[row.reduced_formula] > 1]
    if not true:
        by = "" if truth is None else f" by {truth}"
        of = "no formula has" if keys is None else f"{', '.join(keys)}: there are not"
        raise NotFoundError(
            f"{of} two structures relaxed{by}: `agd structure FORMULA --potential sevennet` relaxes some"
        )
    version = model_of_structures(workspace, model)
    said: dict[int, float] = {}
    refused: dict[int, str] = {}
    if version is not None:
        ids = [one for row in true for one in (row.structure_id, row.relaxed_id)]
        said, refused = answered(workspace, version, ids)
    name = None if version is None else version.plugin
    others = {(row.structure_id, row.potential): row.energy_ev_per_atom for row in rows if row.potential != truth}
    types = [_Type(row, _says(row, name, said, others)) for row in true]
    compared = [
        _compared(formula, [one for one in types if one.row.reduced_formula == formula])
        for formula in dict.fromkeys(row.reduced_formula for row in true)
    ]
    return StructureComparison(
        potential=str(truth),
        model=name,
        model_version_id=None if version is None else version.id,
        formulas=compared,
        rankings=_of_all(compared),
        refused=sorted(set(refused.values())),
    )


def _keys(formulas: Sequence[str]) -> list[str]:
    counts, problems = parse_formulas(list(formulas))
    if problems:
        raise FormulaError(problems[0].message)
    return list(identify(counts).reduced_formula)


def _commonest(rows: Sequence[AnyRow]) -> str | None:
    """The potential that relaxed most; of equals the first by name."""
    n_of = Counter(row.potential for row in rows)
    return min(n_of, key=lambda name: (-n_of[name], name)) if n_of else None


def _says(
    row: AnyRow, model: str | None, said: Mapping[int, float], others: Mapping[tuple[int, str], float]
) -> dict[str, float]:
    found = {} if row.rank is None else {TEMPLATES: float(row.rank)}
    for name, structure_id in ((model, row.structure_id), (f"{model}, relaxed", row.relaxed_id)):
        if structure_id in said:
            found[str(name)] = said[structure_id]
    return found | {name: energy for (structure_id, name), energy in others.items() if structure_id == row.structure_id}


def _compared(formula: str, types: Sequence[_Type]) -> ComparedFormula:
    lowest = min(one.row.energy_ev_per_atom for one in types)
    ordered = sorted(types, key=lambda one: (one.row.energy_ev_per_atom, one.row.structure_id))
    structures = [
        ComparedStructure(
            structure_id=one.row.structure_id,
            relaxed_id=one.row.relaxed_id,
            rank=one.row.rank,
            template=one.row.template,
            energy_ev_per_atom=one.row.energy_ev_per_atom,
            above_lowest_mev_per_atom=1000 * (one.row.energy_ev_per_atom - lowest),
            says=one.says,
        )
        for one in ordered
    ]
    rankers = dict.fromkeys(name for one in types for name in one.says)
    rankings = [_ranking(name, [one for one in ordered if name in one.says]) for name in rankers]
    return ComparedFormula(formula, structures, [one for one in rankings if one is not None])


def _ranking(name: str, types: Sequence[_Type]) -> Ranking | None:
    """How a ranker orders types that it speaks of; None where there is nothing to order."""
    if len(types) < 2:  # noqa: PLR2004
        return None
    energies = np.array([one.row.energy_ev_per_atom for one in types])
    said = np.array([one.says[name] for one in types])
    regret = 1000 * float(energies[said.argmin()] - energies.min())
    return Ranking(name, len(types), _spearman(energies, said), regret <= RIGHT_MEV, regret)


def _spearman(one: Floats, other: Floats) -> float | None:
    """The correlation of ranks; None of constants."""
    from scipy.stats import rankdata

    if np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return None
    found = float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
    return None if math.isnan(found) else found


def _of_all(compared: Sequence[ComparedFormula]) -> list[RankingOfAll]:
    """Each ranker on all formulas that it ranks, the least regret first."""
    names = dict.fromkeys(one.ranker for formula in compared for one in formula.rankings)
    found = []
    for name in names:
        of = [one for formula in compared for one in formula.rankings if one.ranker == name]
        correlations = [one.spearman for one in of if one.spearman is not None]
        regrets = np.array([one.regret_mev_per_atom for one in of])
        found.append(
            RankingOfAll(
                ranker=name,
                n_formulas=len(of),
                n_structures=sum(one.n_structures for one in of),
                mean_spearman=float(np.mean(correlations)) if correlations else None,
                n_lowest_right=sum(one.is_lowest_right for one in of),
                mean_regret_mev_per_atom=float(regrets.mean()),
                share_within_25_mev=float((regrets <= NEAR_MEV).mean()),
            )
        )
    return sorted(found, key=lambda one: one.mean_regret_mev_per_atom)
