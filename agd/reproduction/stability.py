"""A judge of stability that no search asks: extra trees on the lowest energy above the hull of each formula."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.db.record import datasets
from agd.db.record.models import FromDataset, Member, Part
from agd.nets.threads import limited_threads
from agd.reproduction.entries import entries
from agd.reproduction.generated import index
from agd.reproduction.study import UNBOUNDED_EV, Study
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_once
from agd.steps.models import plugin_options
from agd.steps.models.training import Recipe, train_by_hand
from agd.steps.models.training_sets import find_dataset

NEAR_HULL_EV: Final = 0.1
"""eV/atom above the hull up to which a compound may well be made."""

_PROPERTY: Final = "e_above_hull"
_UNIT: Final = "eV/atom"
_N_RANDOM: Final = 30
_KIND: Final = "extra_trees"


def above_hull(study: Study, asked: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """Energies above the hull in eV/atom of lists of formulas by name, and of `random` known ones.

    The judge has learned from no entry of the chemical systems that it is asked about.
    """
    lowest = _lowest(index(study))
    known = sorted(lowest)
    drawn = np.random.default_rng(0).permutation(len(known))[:_N_RANDOM]
    lists = {**asked, "random": [known[i] for i in drawn.tolist()]}
    every = sorted({formula for formulas in lists.values() for formula in formulas})
    counts, _ = parse_formulas(every)
    named = identify(counts)
    path = study.write_csv("agd-e-above-hull.csv", ("composition", _PROPERTY), sorted(lowest.items()))
    rules = ImportRules("composition", _PROPERTY, _PROPERTY, _UNIT, negative="keep")
    dataset = import_once(study.workspace, path, "agd-e-above-hull", rules)
    model_version_id = _trained(study, dataset, set(named.chemical_system))
    with limited_threads(study.threads):
        answers = study.workspace.oracle(model_version_id).label(named.counts)
    by_formula = dict(zip(every, answers.values.tolist(), strict=True))
    return {name: [by_formula[formula] for formula in formulas] for name, formulas in lists.items()}


def _lowest(path: Path) -> dict[str, float]:
    """The lowest energy above the hull of each reduced formula of a table with formula and e_hull_eV_atom.

    Raises:
        InputError: it has no such columns, or a value is no number.
    """
    rows = entries(path, ("e_hull_eV_atom",))
    counts, problems = parse_formulas([formula for formula, _ in rows])
    broken = {problem.index for problem in problems}
    lowest: dict[str, float] = {}
    for i, (formula, (_, (value,))) in enumerate(zip(identify(counts).reduced_formula, rows, strict=True)):
        if i not in broken:
            lowest[formula] = min(value, lowest.get(formula, value))
    return lowest


def _trained(study: Study, dataset: str, without: Collection[str]) -> int:
    """The id of the judge that learned from all chemical systems of a dataset but those."""
    with study.workspace.database.read() as tx:
        found = find_dataset(tx, dataset)
        rows = datasets.rows_of(tx, found.id)
    counts, _ = parse_formulas([row.reduced_formula for row in rows])
    systems = identify(counts).chemical_system
    members = [
        Member(row.composition_id, row.reduced_formula, row.label_id, row.value, is_held_out=False)
        for row, system in zip(rows, systems, strict=True)
        if system not in without
    ]
    chosen = plugin_options.parse("agd.oracles", _KIND, [], {"minimum": UNBOUNDED_EV, "out_of_fold": False})
    recipe = Recipe("oracle", _KIND, _PROPERTY, chosen, 0, study.threads)
    with study.watch("judge of stability") as progress:
        trained = train_by_hand(
            study.workspace, recipe, [Part(FromDataset(found.id, found.recipe_sha256), members)], progress
        )
    assert trained.model_version_id is not None  # noqa: S101  it was trained
    return trained.model_version_id
