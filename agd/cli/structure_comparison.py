"""`agd structures compare`: which of models, templates and potentials rank the structures of formulas how well."""

from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.show import Json, console

if TYPE_CHECKING:
    from agd.views import ComparedFormula, StructureComparison

_N_SHOWN = 3
"""Formulas whose structures are shown one by one."""


def compare(
    formulas: Annotated[
        list[str] | None, typer.Argument(help="Formulas, in any spelling; all of the record if none is given.")
    ] = None,
    potential: Annotated[
        str | None, typer.Option(help="Whose energies are the truth; the one that relaxed most if not given.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model of structures, by id or beginning of the hash; the newest if not given."),
    ] = None,
    json: Json = False,
) -> None:
    """Compare how a model of structures, templates and potentials rank relaxed structures.

    What the first choice of each lies above the lowest structure of the formula
    is its regret. The energies of one potential are the truth.
    """
    from agd.steps.structures.comparing import compare as compared

    with show.workspace() as workspace:
        found = compared(workspace, formulas or (), potential=potential, model=model)
    if json:
        show.print_json(found)
        return
    if len(found.formulas) <= _N_SHOWN:
        for one in found.formulas:
            _show_structures(one)
    _show_formulas(found)
    _show_all(found)
    for reason in found.refused:
        show.say_aside(f"no answer of {found.model}: {reason}")
    if found.model is None:
        show.say_aside("the record has no model of structures: `agd train structures` makes one")


def _show_structures(found: "ComparedFormula") -> None:
    rankers = [one.ranker for one in found.rankings]
    rows = [
        [row.structure_id, row.template, row.above_lowest_mev_per_atom, *(row.says.get(name) for name in rankers)]
        for row in found.structures
    ]
    console.print(
        show.table(["structure", "like", "above lowest", *rankers], rows, title=f"{found.formula} (meV/atom)")
    )


def _show_formulas(found: "StructureComparison") -> None:
    rankers = [one.ranker for one in found.rankings]
    rows = []
    for formula in found.formulas:
        by = {one.ranker: one for one in formula.rankings}
        cells: list[object] = [formula.formula, len(formula.structures)]
        for name in rankers:
            one = by.get(name)
            cells += ["-"] if one is None else [f"{show.text(one.spearman)} / {one.regret_mev_per_atom:.0f}"]
        rows.append(cells)
    title = f"Spearman / regret (meV/atom), energies of {found.potential} being the truth"
    console.print(show.table(["formula", "types", *rankers], rows, title=title))


def _show_all(found: "StructureComparison") -> None:
    rows = [
        [
            one.ranker,
            one.n_formulas,
            one.n_structures,
            one.mean_spearman,
            f"{one.n_lowest_right} of {one.n_formulas}",
            one.mean_regret_mev_per_atom,
            f"{one.share_within_25_mev:.0%}",
        ]
        for one in found.rankings
    ]
    columns = ["ranked by", "formulas", "structures", "Spearman", "lowest right", "mean regret", "within 25 meV"]
    console.print(show.table(columns, rows, title="least regret first (meV/atom)"))
