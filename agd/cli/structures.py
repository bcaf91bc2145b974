"""`agd structure`, `agd structures of`, `agd hull`: from a formula to structures, their energies, and a claim."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.show import Force, Json, console
from agd.cli.structure_comparison import compare
from agd.cli.top_view import MaxPredictedHull
from agd.cli.why_structures import mapping_words

if TYPE_CHECKING:
    from agd.steps.structures.structuring import StructurePlan
    from agd.views import Claim, HullOfComposition, StructureCandidate, Structured
    from agd.work.workspace import Workspace

app = typer.Typer(no_args_is_help=True)

Types = Annotated[int, typer.Option("--types", min=1, max=100, help="Distinct types of structure for each formula.")]
Template = Annotated[
    str,
    typer.Option(
        "--template", help="How templates are found: substitution, ordering (a site shared by two elements), or paper."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and store nothing.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave it in the queue to `agd worker`, and return.")]

_EV = "eV/atom"


def structure(
    formula: Annotated[str, typer.Argument(help="A formula, in any spelling.")],
    top: Annotated[int, typer.Option("--top", min=1, max=100, help="Distinct types of structure.")] = 10,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Write a CIF file for each into it.")
    ] = None,
    template: Template = "substitution",
    potential: Annotated[
        str | None, typer.Option(help="Relax them by this one, e.g. sevennet, and place them on its hull.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Find structures that a formula may have, from templates among the structures of the record."""
    from agd.cli.live import training_bar
    from agd.steps.structures.crystal_files import cif_files
    from agd.steps.structures.structuring import StructurePlan, structure_of

    if output is not None:
        show.require_folder(output)
    plan = StructurePlan((formula,), top, template, potential)
    with show.workspace() as workspace:
        with training_bar(f"structures of {formula}") as progress:
            found = structure_of(workspace, plan, formula, progress)
        written = [] if output is None else cif_files(workspace, found, output, force=force)
    if json:
        show.print_json(found)
        return
    _show(found)
    if written:
        show.say(f"wrote {len(written)} {'file' if len(written) == 1 else 'files'} into {output}")


@app.command("of")
def of(
    what: Annotated[str, typer.Argument(metavar="CAMPAIGN|SCREENING", help="A name, or a number of `agd screens`.")],
    top: Annotated[int, typer.Option("--top", min=1, max=show.MAX_INT, help="So many of the best.")] = 20,
    potential: Annotated[
        str, typer.Option(help="By which they are relaxed: sevennet, chgnet or another.")
    ] = "sevennet",
    types: Types = 10,
    template: Template = "substitution",
    max_predicted_hull: MaxPredictedHull = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Find structures of the best of a campaign or a screening, relax them, and say how far from the hull they are.

    One job for each formula: what was killed goes on where it was, and what is there is not done again.
    """
    from agd.cli.live import training_bar
    from agd.steps.structures.choosing import best_of
    from agd.steps.structures.structuring import StructurePlan, structures_of

    with show.workspace() as workspace:
        formulas, campaign = best_of(workspace, what, top, max_predicted_hull, is_kept=not dry_run)
        plan = StructurePlan(tuple(formulas), types, template, potential, campaign)
        if dry_run:
            _say_plan(plan, json=json)
            return
        if detach:
            _leave(workspace, plan, json=json)
            return
        with training_bar(f"structures of {what}", has_units=False) as progress:
            found, failed = structures_of(workspace, plan, progress)
    if json:
        show.print_json({"structures": found, "failed": failed})
    else:
        _show_many(found, failed)
    if failed:
        raise typer.Exit(1)


def hull(
    formula: Annotated[str, typer.Argument(help="A formula, in any spelling.")],
    method: Annotated[
        str | None, typer.Option(help="Only by this one: of labels (`agd data methods`) or a potential.")
    ] = None,
    scheme: Annotated[str | None, typer.Option(help="Only labels corrected so, e.g. mp2018.")] = None,
    json: Json = False,
) -> None:
    """Show the hull at a formula, by each method apart, and what of it stands how far above."""
    from agd.steps.structures.hulls import hull_of

    with show.workspace() as workspace:
        found = hull_of(workspace, formula, method=method, scheme=scheme)
    if json:
        show.print_json(found)
    else:
        _show_hull(found)


def register(typer_app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    typer_app.command()(structure)
    app.command()(compare)
    typer_app.add_typer(app, name="structures", help="Structures of what was found: templates, potentials, hulls.")
    typer_app.command()(hull)


def _say_plan(plan: "StructurePlan", *, json: bool) -> None:
    if json:
        show.print_json(plan.as_request())
        return
    show.say(f"would find {plan.n_types} types of structure each, and relax them by {plan.potential}:")
    show.say(f"  {', '.join(plan.formulas)}")


def _leave(workspace: "Workspace", plan: "StructurePlan", *, json: bool) -> None:
    """Leave the formulas to the workers of the queue, a job each."""
    from agd import engines

    ids = engines.of_queue().submit(workspace, plan)
    if json:
        show.print_json({"formulas": list(plan.formulas), "fw_ids": ids})
    else:
        show.say(f"{len(ids)} fireworks are queued; `agd worker` does them, then see `agd why {plan.formulas[0]}`")


def _show(found: "Structured") -> None:
    if not found.candidates:
        show.say(
            f"{found.formula}: no analogue among {found.n_searched:,} known structures; that is not to "
            "say that it is unstable"
        )
    else:
        _show_candidates(found)
        _say_left_out(found)
    _say_prediction(found)
    _say_claim(found.claim)


def _show_candidates(found: "Structured") -> None:
    """What was proposed; where something was relaxed, how far each is from the hull, and once what the hull is of."""
    is_relaxed = any(row.potential is not None for row in found.candidates)
    columns = ["rank", "like", "for", *(["relaxed", "E_form", "above hull"] if is_relaxed else ["distance"])]
    model = next((row.model for row in found.candidates if row.model is not None), None)
    columns += [] if model is None else [f"by {model}"]
    rows = [
        [row.rank, f"{row.template} {row.template_entry or ''}".rstrip(), mapping_words(row.mapping)]
        + ([*_relaxed(row)] if is_relaxed else [row.distance])
        + ([] if model is None else [_by_model(row)])
        for row in found.candidates
    ]
    types = "type" if found.n_proposed == 1 else "types"
    title = f"{found.formula}: {found.n_proposed} {types} of structure{f', energies in {_EV}' if is_relaxed else ''}"
    console.print(show.table(columns, rows, title=title))
    for products in dict.fromkeys(row.products for row in found.candidates if row.products is not None):
        show.say(f"the hull at {found.formula}: {products}")


def _relaxed(row: "StructureCandidate") -> tuple[object, float | None, float | None]:
    by = row.potential if row.outcome != "refused" else f"{row.potential} refused: {row.reason}"
    return by, row.e_form_ev_per_atom, row.e_above_hull_ev_per_atom


def _by_model(row: "StructureCandidate") -> float | None:
    """The formation energy that a model of structures answers: relaxed, where it was."""
    relaxed = row.model_relaxed_e_form_ev_per_atom
    return row.model_e_form_ev_per_atom if relaxed is None else relaxed


def _show_many(found: "list[Structured]", failed: dict[str, str]) -> None:
    columns = ["formula", "types", "relaxed", f"E_form ({_EV})", "above hull", "lowest like", "claim", "novelty"]
    is_predicted = any(one.predicted_e_above_hull_ev_per_atom is not None for one in found)
    columns += ["predicted above hull"] if is_predicted else []
    rows: list[list[object]] = []
    for one in found:
        relaxed = [row for row in one.candidates if row.energy_ev_per_atom is not None]
        lowest = min(relaxed, key=lambda row: row.energy_ev_per_atom or 0.0, default=None)
        rows.append(
            [
                one.formula,
                one.n_proposed,
                len(relaxed),
                None if lowest is None else lowest.e_form_ev_per_atom,
                None if lowest is None else lowest.e_above_hull_ev_per_atom,
                None if lowest is None else lowest.template,
                one.claim.claim,
                one.claim.structure_novelty,
                *([one.predicted_e_above_hull_ev_per_atom] if is_predicted else []),
            ]
        )
    console.print(show.table(columns, rows))
    for one in found:
        _say_left_out(one)
    for formula, why in failed.items():
        show.say_aside(f"{formula}: {why}")


def _say_left_out(found: "Structured") -> None:
    for formula, reason in found.left_out.items():
        show.say_aside(f"{found.formula}: {formula} competes and is not on the hull: {reason}")


def _say_prediction(found: "Structured") -> None:
    if found.predicted_e_above_hull_ev_per_atom is not None:
        above = 1000 * found.predicted_e_above_hull_ev_per_atom
        show.say(f"predicted from the formula alone: {above:.0f} meV/atom above the hull")


def _say_claim(claim: "Claim") -> None:
    beside = "" if claim.reference is None else f" (known: {claim.reference})"
    novelty = "" if claim.structure_novelty is None else f"; {claim.structure_novelty}{beside}"
    show.say(f"claim: {claim.claim}{novelty}")


def _show_hull(found: "HullOfComposition") -> None:
    if found.hulls:
        columns = ["method", "scheme", "phases", f"hull at {found.formula} ({_EV})", "between"]
        fields = ["method", "correction_scheme", "n_phases", "hull_ev_per_atom", "products"]
        console.print(show.table(columns, show.cells(found.hulls, fields)))
    if found.distances:
        columns = ["method", "scheme", f"E_form ({_EV})", "above hull", "would become", "stands"]
        fields = ["method", "correction_scheme", "e_form_ev_per_atom", "e_above_hull_ev_per_atom", "products"]
        rows = show.cells(found.distances, [*fields, "is_standing"])
        console.print(show.table(columns, rows, title=f"energies of {found.formula}"))
    else:
        show.say(f"no energy of {found.formula} itself: `agd structure {found.formula} --potential sevennet` finds one")
    if found.claim is not None:
        _say_claim(found.claim)
