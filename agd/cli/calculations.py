"""`agd phonons`, `agd elastic`: what a potential says of how a structure vibrates, and of how stiff it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agd.cli import show
from agd.cli.show import Force, Json, console

if TYPE_CHECKING:
    from agd.steps.calculations.calculating import CalculationPlan
    from agd.views import Calculated, CalculationPreview, Elasticity, Phonons
    from agd.work.workspace import Workspace

What = Annotated[
    str,
    typer.Argument(
        metavar="FORMULA|STRUCTURE",
        help="A formula (its lowest structure), the number of a structure, or its name in a data set.",
    ),
]
With = Annotated[str, typer.Option("--with", help="By which potential (sevennet, chgnet) or engine (gpaw).")]
Campaign = Annotated[str | None, typer.Option(help="The campaign that it serves.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be computed, and compute nothing.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave it in the queue to `agd worker`, and return.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Draw it into this file: .png, .svg or .pdf.")]

_ROUNDED = 0.05
"""GPa: what is smaller is shown as 0."""

_CORNER = [(i, j) for i in range(6) for j in range(i, 6)]


def phonons(
    what: What,
    engine: With = "sevennet",
    supercell: Annotated[
        float, typer.Option("--supercell", min=1.0, max=100.0, help="Least length of each of its vectors, in Å.")
    ] = 10.0,
    displacement: Annotated[float, typer.Option(min=0.001, max=0.1, help="How far a site is displaced, in Å.")] = 0.01,
    campaign: Campaign = None,
    output: Output = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compute phonons: whether a structure stays as it is when its sites are moved a little, or has imaginary modes.

    What was killed goes on from the displaced cells that were computed.
    """
    from agd.steps.calculations.calculating import CalculationPlan

    inputs = {"supercell_angstrom": supercell, "displacement_angstrom": displacement}
    plan = CalculationPlan("phonons", what, engine, inputs, campaign)
    _do(plan, output, {}, dry_run=dry_run, detach=detach, force=force, json=json)


def elastic(
    what: What,
    engine: With = "sevennet",
    strain: Annotated[
        float, typer.Option(min=0.001, max=0.05, help="The largest strain; half of it is tried too, both ways.")
    ] = 0.01,
    beside: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=GPA", help="A value to draw beside, e.g. C11=49.0 or K=24; repeatable."),
    ] = None,
    campaign: Campaign = None,
    output: Output = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compute the 21 elastic constants, whether they are stable by Born, and the averages of Voigt, Reuss and Hill.

    What was killed goes on from the strained cells that were computed.
    """
    from agd.steps.calculations.calculating import CalculationPlan

    plan = CalculationPlan("elastic", what, engine, {"strains": [-strain, -strain / 2, strain / 2, strain]}, campaign)
    _do(plan, output, _given(beside or []), dry_run=dry_run, detach=detach, force=force, json=json)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(phonons)
    app.command()(elastic)


def _do(
    plan: "CalculationPlan",
    output: Path | None,
    beside: dict[str, float],
    *,
    dry_run: bool,
    detach: bool,
    force: bool,
    json: bool,
) -> None:
    from agd.cli.live import training_bar
    from agd.steps.calculations.calculating import calculate, previewed

    if output is not None:
        from agd.report.drawing import format_of

        format_of(output)
    show.require_outputs(output, force=force, takes_streams=False)
    with show.workspace() as workspace:
        if dry_run:
            _say_preview(previewed(workspace, plan), json=json)
            return
        if detach:
            _leave(workspace, plan, json=json)
            return
        with training_bar(plan.title, has_units=False) as progress:
            found = calculate(workspace, plan, progress)
        if output is not None:
            _draw(workspace, found, output, beside, force=force)
    if json:
        show.print_json(found)
    else:
        _show(found)
    if output is not None:
        show.say_aside(f"wrote {output}")


def _given(beside: list[str]) -> dict[str, float]:
    """Values by the name of a constant or an average.

    Raises:
        InputError: one is none.
    """
    from agd.errors import InputError

    names = {*(f"C{i + 1}{j + 1}" for i, j in _CORNER), "K", "G", "E"}
    given = {}
    for one in beside:
        name, _, value = one.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            raise InputError(f"--beside {one}: {value!r} is no number: write e.g. C11=49.0") from None
        if name not in names:
            raise InputError(f"--beside {one}: no constant {name!r}: C11 to C66, or K, G, E of Hill")
    return given


def _draw(workspace: "Workspace", found: "Calculated", path: Path, beside: dict[str, float], *, force: bool) -> None:
    from matplotlib.figure import Figure

    from agd.report import spectra
    from agd.report.drawing import save
    from agd.steps.calculations.reading import spectrum_of

    title = (
        f"{found.calculation.reduced_formula}, space group {found.calculation.space_group}, {found.calculation.method}"
    )
    if found.elasticity is not None:
        constants = found.elasticity

        def draw(figure: Figure) -> None:
            spectra.elastic_figure(figure, title, constants, beside)

        save(path, draw, spectra.ELASTIC_SIZE, force=force)
        return
    curves = spectrum_of(workspace, found.calculation.calculation_id)

    def draw_bands(figure: Figure) -> None:
        spectra.phonon_figure(
            figure,
            title,
            (curves.path_distances, curves.path_labels, curves.path_frequencies_thz),
            (curves.mesh_weights, curves.mesh_frequencies_thz),
            found.phonons.imaginary_below_thz if found.phonons is not None else 0.0,
        )

    save(path, draw_bands, spectra.PHONONS_SIZE, force=force)


def _say_preview(found: "CalculationPreview", *, json: bool) -> None:
    if json:
        show.print_json(found)
        return
    before = " relax it, then" if found.is_relaxed_before else ""
    show.say(
        f"structure {found.structure_id} of {found.reduced_formula} ({found.n_sites} sites): {found.engine} "
        f"would{before} compute {found.n_parts} cells of {found.n_sites_of_part} sites"
    )


def _leave(workspace: "Workspace", plan: "CalculationPlan", *, json: bool) -> None:
    from agd import engines

    ids = engines.of_queue().submit(workspace, plan)
    if json:
        show.print_json({"kind": plan.kind, "of": plan.of, "fw_ids": ids})
    else:
        show.say(f"{plan.title}: {len(ids)} firework is queued; `agd worker` does it")


def _show(found: "Calculated") -> None:
    it = found.calculation
    there = "was computed before" if found.was_there else f"{it.core_seconds or 0:.0f} core-seconds"
    show.say(
        f"{it.reduced_formula}: structure {it.structure_id}, space group {it.space_group}, {it.n_sites} sites; "
        f"{it.method} ({it.code_version or '-'}), {it.n_parts} cells, {there}"
    )
    if found.phonons is not None:
        _show_phonons(found.phonons)
    if found.elasticity is not None:
        _show_elasticity(found.elasticity)
    show.say(f"claim: {found.claim}")


def _show_phonons(found: "Phonons") -> None:
    n, below = found.n_imaginary, found.imaginary_below_thz
    verdict = "no imaginary mode" if n == 0 else f"{n} imaginary modes"
    mesh = " x ".join(str(one) for one in found.mesh)
    lowest = "" if found.is_lowest else "; it is not the lowest structure of the composition"
    show.say(
        f"{verdict} below {below:g} THz on a mesh of {mesh} and along the path; the lowest is "
        f"{found.min_frequency_thz:.3f} THz{lowest}"
    )


def _show_elasticity(found: "Elasticity") -> None:
    rows: list[list[Any]] = [[f"{i + 1}", *[""] * 6] for i in range(6)]
    for (i, j), value in zip(_CORNER, found.stiffness_gpa, strict=True):
        rows[i][j + 1] = f"{value + 0.0 if abs(value) >= _ROUNDED else 0.0:.1f}"
    console.print(show.table(["GPa", *(str(i) for i in range(1, 7))], rows, title="elastic constants"))
    averages: list[list[Any]] = [
        ["bulk", found.bulk_voigt_gpa, found.bulk_reuss_gpa, found.bulk_hill_gpa],
        ["shear", found.shear_voigt_gpa, found.shear_reuss_gpa, found.shear_hill_gpa],
        ["Young", None, None, found.young_hill_gpa],
    ]
    console.print(show.table(["modulus (GPa)", "Voigt", "Reuss", "Hill"], averages))
    stable = "every strain costs energy" if found.is_born_stable else "some strain gains energy"
    show.say(
        f"{'stable' if found.is_born_stable else 'not stable'} by Born: {stable} (the least eigenvalue is "
        f"{found.min_eigenvalue_gpa:.2f} GPa); Poisson's ratio {show.text(found.poisson_hill)}, anisotropy "
        f"{show.text(found.anisotropy)}; the fit leaves {found.residual_gpa:.3f} GPa"
    )
