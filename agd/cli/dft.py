"""`agd dft`: calculations by first principles; `agd failures`: what failed of calculations, and how often."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agd.cli import show
from agd.cli.show import Json, console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agd.steps.calculations.dft_plans import DftPlan
    from agd.views import DftDone, DftPreview
    from agd.work.workspace import Workspace

app = typer.Typer(no_args_is_help=True)

Kind = Literal["relax", "static", "gap"]
By = Literal["class", "element", "machine", "engine", "kind"]

_EV = "eV/atom"
_IDLE_S = 10.0
"""After so long without a job of the cluster and without work for one, a submission has come to its end."""


@app.callback()
def main() -> None:
    """Compute structures by first principles."""


@app.command("submit")
def submit(
    what: Annotated[
        str,
        typer.Argument(metavar="CAMPAIGN|SCREENING|FORMULA", help="A name, a number of `agd screens`, or one formula."),
    ],
    engine: Annotated[str, typer.Option("--with", help="By which engine: gpaw, vasp or another.")] = "gpaw",
    recipe: Annotated[
        Kind, typer.Option(help="What is computed: cell and sites let go, an energy, or energy and band gap.")
    ] = "gap",
    top: Annotated[int, typer.Option("--top", min=1, max=show.MAX_INT, help="So many of the best.")] = 10,
    structure: Annotated[
        int | None, typer.Option(min=1, max=show.MAX_SEED, help="Of a formula this structure, by its number.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("-o", "--option", metavar="KEY=VALUE", help="An input of the recipe, e.g. mesh=4,4,4."),
    ] = None,
    cores: Annotated[int, typer.Option(min=1, max=10_000, help="Processors for each calculation.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say atoms, k-points and core-hours, and compute nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave them in the queue to `agd worker`, and return.")
    ] = False,
    queue: Annotated[
        Literal["slurm", "pbs"] | None,
        typer.Option(help="Let jobs of the cluster's queue compute them, and wait; Ctrl-C leaves the jobs alone."),
    ] = None,
    qadapter: Annotated[
        Path | None, typer.Option(help="FireWorks' queue adapter file; the one shipped for that queue if not given.")
    ] = None,
    max_jobs: Annotated[int, typer.Option(min=1, max=100_000, help="Jobs of the cluster at a time.")] = 4,
    json: Json = False,
) -> None:
    """Compute the lowest structure of each formula, once for each recipe, a job each.

    What was killed goes on from its last geometry. A gap becomes a label of its structure, by the engine's method.
    It is done here, or by jobs of a cluster (--queue), or left to whoever works the queue (--detach).
    """
    from agd.errors import InputError
    from agd.steps.calculations.dft_plans import GROUP, DftPlan, prepared, previews, targets_of
    from agd.steps.models import plugin_options

    options = plugin_options.parse(GROUP, engine, option or []).model_dump(mode="json")
    with show.workspace() as workspace:
        formulas, campaign, screening = targets_of(workspace, what, top)
        if structure is not None and (campaign is not None or screening is not None):
            raise InputError("--structure is for one formula, not for a campaign or a screening")
        plan = DftPlan(tuple(formulas), engine, recipe, options, cores, campaign, screening, structure)
        if dry_run:
            found, refused = prepared(workspace, plan)
            _show_previews(previews(workspace, found), refused, plan, json=json)
            return
        if detach or queue is not None:
            _leave(workspace, plan, json=json)
            if queue is not None and not detach:
                _work_by_jobs(workspace, queue, qadapter, max_jobs)
            return
        _compute(workspace, what, plan, json=json)


def failures(
    by: Annotated[By | None, typer.Option(help="Count by this alone.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only what served this campaign.")] = None,
    json: Json = False,
) -> None:
    """Show what failed of attempts at calculations: by class, and how often by element and machine."""
    from typing import get_args

    from agd.db.record import dft
    from agd.steps.campaign.campaigns import campaign_row
    from agd.views import FailureRate, of_rows

    wanted: tuple[By, ...] = ("class", "element", "machine") if by is None else (by,)
    assert set(wanted) <= set(get_args(By))  # noqa: S101  Typer offers no other
    with show.workspace() as workspace:
        if campaign is not None:
            campaign_row(workspace, campaign)
        with workspace.database.read() as tx:
            found = {one: of_rows(FailureRate, dft.failure_rates(tx, one, campaign)) for one in wanted}
    if json:
        show.print_json(found)
        return
    if not any(found.values()):
        show.say("no attempt at a calculation has failed")
        return
    for one, rates in found.items():
        columns = [one, "failed", *([] if one == "class" else ["of"]), "core-hours lost", "last error"]
        rows = [
            [
                rate.what,
                rate.n_failed,
                *([] if one == "class" else [rate.n_attempts]),
                None if rate.core_seconds is None else rate.core_seconds / 3600,
                rate.last_error,
            ]
            for rate in rates
        ]
        console.print(show.table(columns, rows))


def register(typer_app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    typer_app.add_typer(app, name="dft", help="Calculations by first principles: engines, recipes, the queue.")
    typer_app.command()(failures)


def _compute(workspace: "Workspace", what: str, plan: "DftPlan", *, json: bool) -> None:
    from agd.cli.live import training_bar
    from agd.steps.calculations.dft import dft_of_all

    with training_bar(f"{plan.kind} of {what} by {plan.engine}", has_units=False) as progress:
        done, failed = dft_of_all(workspace, plan, progress)
    if json:
        show.print_json({"calculations": done, "failed": failed})
    else:
        _show_done(done, failed)
    if failed:
        raise typer.Exit(7 if not done else 1)


def _leave(workspace: "Workspace", plan: "DftPlan", *, json: bool) -> None:
    from agd import engines
    from agd.steps.calculations.dft_plans import prepared

    found, refused = prepared(workspace, plan)
    ids = engines.of_queue().submit(workspace, plan)
    if json:
        show.print_json({"fw_ids": ids, "n_done": sum(one.was_done for one in found), "failed": refused})
        return
    if n_done := sum(one.was_done for one in found):
        show.say(f"{n_done} of {len(found)} are done already")
    show.say(f"{len(ids)} fireworks are queued; `agd worker` does them, or jobs of `agd worker --queue slurm`")
    _say_refused(refused)


def _work_by_jobs(workspace: "Workspace", queue: Literal["slurm", "pbs"], qadapter: Path | None, max_jobs: int) -> None:
    """Submit jobs for calculations that are ready, of whomever, until none is at hand any more."""
    from agd import engines
    from agd.config import load_settings
    from agd.writing import check_folder

    plan = engines.WorkerPlan(
        folder=(load_settings().home / "jobs").absolute(),
        categories=("dft",),
        until_idle_s=_IDLE_S,
        cluster=queue,
        qadapter=qadapter,
        max_jobs=max_jobs,
    )
    check_folder(plan.folder)
    engines.of_queue().work(workspace, plan, show.say_aside)


def _show_previews(
    previews: "Sequence[DftPreview]", refused: "Mapping[str, str]", plan: "DftPlan", *, json: bool
) -> None:
    if json:
        show.print_json({"calculations": previews, "failed": refused})
        return
    columns = ["formula", "structure", "space group", "atoms", "k-points", "core-hours", "done"]
    fields = ["reduced_formula", "structure_id", "space_group", "n_atoms", "n_k_points", "core_hours", "is_done"]
    if previews:
        console.print(show.table(columns, show.cells(previews, fields), title=f"{plan.kind} by {plan.engine}"))
    hours = [one.core_hours for one in previews if not one.is_done and one.core_hours is not None]
    if hours:
        show.say(f"about {sum(hours):.3g} core-hours, by what others took before")
    elif previews:
        show.say(f"no calculation by {plan.engine} is done yet that core-hours could be told by")
    _say_refused(refused)


def _show_done(done: "Sequence[DftDone]", failed: "Mapping[str, str]") -> None:
    columns = ["formula", "structure", f"energy ({_EV})", "gap (eV)", "direct", "from", "to", "core-seconds", "claim"]
    rows = [
        [
            one.calculation.reduced_formula,
            one.calculation.structure_id
            if one.relaxed_id is None
            else f"{one.calculation.structure_id} → {one.relaxed_id}",
            one.calculation.energy_ev_per_atom,
            one.gap_ev,
            one.direct_gap_ev,
            _place(one.valence_k),
            _place(one.conduction_k),
            one.calculation.core_seconds,
            one.claim,
        ]
        for one in done
    ]
    if rows:
        console.print(show.table(columns, rows))
    if n := sum(one.was_there for one in done):
        show.say(f"{n} of {len(done)} had been computed before")
    _say_refused(failed)


def _place(point: "Sequence[float] | None") -> str | None:
    return None if point is None else " ".join(f"{one:.3g}" for one in point)


def _say_refused(refused: "Mapping[str, str]") -> None:
    for formula, reason in refused.items():
        show.say_aside(f"{formula}: {reason}")
