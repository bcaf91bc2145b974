"""`agd screen`: what a campaign's labels are worth on a pool of formulas; `agd screens` lists what was screened."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agd.cli import show
from agd.cli.filter_words import Rules, filter_of
from agd.cli.show import Json, console
from agd.errors import InputError

if TYPE_CHECKING:
    from agd.steps.screening.screening import Role, ScreeningPlan
    from agd.views import Screened, ScreeningWithHits, TrainedModel
    from agd.work.workspace import Workspace

_ROLE_NAMES = {
    "baseline": "baseline (initial labels)",
    "al": "al (with the campaign's own)",
    "model": "by the model",
}


def screen(
    *,
    campaign: Annotated[
        str | None, typer.Argument(help="Name of the campaign whose labels judge; not needed with --model.")
    ] = None,
    pool: Annotated[
        str, typer.Option(help="A file (CSV or JSON lines, plain or .gz; -: standard input) or a data set.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A trained model that judges instead: its id, or the beginning of its hash (`agd models`)."),
    ] = None,
    screener: Annotated[
        Literal["baseline", "al", "both"],
        typer.Option(help="Trained on the initial labels, on those and the campaign's own, or both of them."),
    ] = "both",
    also_labels_of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CAMPAIGN", help="The al screener learns from this campaign's own labels besides; repeatable."
        ),
    ] = None,
    kind: Annotated[str, typer.Option(help="Plug-in of the screeners.")] = "random_forest",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-o", metavar="KEY=VALUE", help="An option of the plug-in, by default n_trees=200; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=show.MAX_SEED, help="Of the screeners.")] = 0,
    target: Annotated[
        str | None,
        typer.Option(help="What must be predicted, e.g. '2 eV < band_gap < 4 eV'; the campaign's if not given."),
    ] = None,
    sigma: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="Standard deviations by which the prediction must be safe.")
    ] = 0.0,
    max_elements: Annotated[
        int, typer.Option(min=1, max=show.MAX_INT, help="Of the reduced formula, as the next two.")
    ] = 5,
    max_atoms: Annotated[int, typer.Option(min=1, max=show.MAX_INT)] = 20,
    max_count: Annotated[int, typer.Option(min=1, max=show.MAX_INT, help="Atoms of one element.")] = 7,
    valid: Annotated[bool, typer.Option(help="Only charge-neutral, electronegativity-balanced ones.")] = True,
    filtered: Annotated[
        bool, typer.Option("--filtered", help="Only what the campaign's own \\[filter] lets through.")
    ] = False,
    rule: Rules = None,
    novel: Annotated[bool, typer.Option(help="Leave out what the screener has a label of.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, max=show.MAX_INT, help="Read so many rows of the pool.")] = None,
    formula_column: Annotated[
        str | None, typer.Option(help="Column of the formulas; composition, formula, pretty_formula or the only one.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, max=show.MAX_INT, help="Hits to show.")] = 20,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and store nothing.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it in the queue to `agd worker`, and return.")
    ] = False,
    json: Json = False,
) -> None:
    """Screen a pool of formulas by models trained on the labels of a campaign, or by any model, and store the picks."""
    from agd.cli.live import training_bar
    from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan
    from agd.steps.screening.screening import screen as screen_pool

    if model is not None and (screener, kind, option, seed, also_labels_of) != ("both", "random_forest", None, 0, None):
        raise InputError("--model: that one is trained already: leave out how screeners are trained")
    roles: tuple[Role, ...] = ("baseline", "al") if screener == "both" else (screener,)
    plan = ScreeningPlan(
        campaign=campaign,
        pool=pool,
        roles=roles,
        choice=ScreenerChoice(kind, tuple(option or ()), seed, also=tuple(also_labels_of or ())),
        target=target,
        sigma=sigma,
        max_elements=max_elements,
        max_atoms=max_atoms,
        max_count=max_count,
        is_valid=valid,
        is_novel=novel,
        limit=limit,
        formula_column=formula_column,
        is_filtered=filtered,
        filter=filter_of(rule),
        model=model,
    )
    if detach and pool == "-":
        raise InputError("--detach: a worker cannot read this terminal's standard input: name a file or a data set")
    with show.workspace() as workspace:
        found = screen_pool(workspace, plan, n_top=top, watch=training_bar, dry_run=dry_run or detach)
        if detach and not dry_run:
            _leave(workspace, plan, json=json)
            return
    if json:
        show.print_json(found)
    else:
        _show(found, n_top=top)


def screens(
    campaign: Annotated[str | None, typer.Argument(help="Name of the campaign; all of them if not given.")] = None,
    json: Json = False,
) -> None:
    """List the screenings."""
    from agd.steps.campaign.campaigns import get_campaign
    from agd.steps.reading import overviews

    with show.workspace() as workspace:
        if campaign is not None:
            get_campaign(workspace, campaign)
        with workspace.database.read() as tx:
            rows = overviews.all_screenings(tx, campaign)
    if json:
        show.print_json(rows)
        return
    if not rows:
        show.say("no screenings yet: see `agd screen --help`")
        return
    columns = ["id", "campaign", "role", "pool", "target", "sigma", "read", "hits", "screener", "labels", "when"]
    shown = [
        [
            row.screening_id,
            row.campaign,
            row.role,
            row.pool,
            row.criteria["target"],
            row.criteria["sigma"],
            row.n_read,
            row.n_hits,
            f"{row.screener} {row.screener_sha256[:12]}",
            row.n_members,
            row.started_at,
        ]
        for row in rows
    ]
    console.print(show.table(columns, shown))


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(screen)
    app.command()(screens)


def _leave(workspace: "Workspace", plan: "ScreeningPlan", *, json: bool) -> None:
    """Leave the screening to the workers of the queue, who have another working folder."""
    from agd import engines

    if Path(plan.pool).is_file():
        plan = replace(plan, pool=str(Path(plan.pool).absolute()))
    ids = engines.of_queue().submit(workspace, plan)
    if json:
        show.print_json({"campaign": plan.campaign, "pool": plan.pool, "fw_ids": ids})
    else:
        show.say(f"fireworks {', '.join(map(str, ids))} are queued; `agd worker` does them, then see `agd screens`")


def _show(found: "Screened", *, n_top: int) -> None:
    criteria = found.criteria
    wanted = criteria["target"] + (f", {criteria['sigma']:g} sigma to either side" if criteria["sigma"] else "")
    pool = f"{found.pool} (sha256 {found.pool_sha256[:12]})"
    title = (
        f"{pool} is screened for {wanted}"
        if found.campaign is None
        else f"{found.campaign} screens {pool} for {wanted}"
    )
    show.say(title)
    if found.unasked:
        show.say_aside(
            f"no screener is asked about {' and '.join(found.unasked)}, which the campaign seeks too: "
            "`agd screen --pool POOL --model MODEL --target ...` screens by any model"
        )
    for role, model in found.screeners.items():
        _say_screener(role, model, is_there=found.was_there[role], dry_run=found.dry_run)
    told = found.screenings
    if not told:
        return
    stages = list(dict.fromkeys(name for screening in told for name in screening.stages))
    columns = ["stage", *(_ROLE_NAMES[screening.role] for screening in told)]
    console.print(show.table(columns, ([name, *(s.stages.get(name) for s in told)] for name in stages)))
    for screening in told:
        if n_top and screening.top:
            _show_hits(screening, is_alone=len(told) == 1)
    if found.n_shared is not None:
        sizes = " and ".join(f"{screening.n_hits:,} of {screening.role}" for screening in told)
        show.say(f"hits of both screeners: {found.n_shared:,} ({sizes})")
    if found.seconds is not None and found.formulas_per_s is not None:
        pace = f"{found.formulas_per_s:,.0f} a second"
        show.say(f"{found.n_read:,} formulas in {show.duration(found.seconds)}, {pace}")
    else:
        show.say("screened before: nothing added" if not found.dry_run else "screened before: nothing to do")
    best = next((screening.top[0] for screening in told[::-1] if screening.top), None)
    if best is not None:
        show.say(f"a hit is a prediction, no label; see `agd why {best.reduced_formula}`")


def _say_screener(role: str, model: "TrainedModel", *, is_there: bool, dry_run: bool) -> None:
    learned = f"{model.n_initial:,} {'rows' if role == 'model' else 'initial labels'}"
    if model.last_iteration is not None:
        learned += f" and {model.n_learned:,} labels of iterations up to {model.last_iteration}"
    version = "to be trained"
    if model.tensors_sha256 is not None:
        again = "" if model.was_there else ", trained now"
        version = f"model version {model.model_version_id}, sha256 {model.tensors_sha256[:12]}{again}"
    screened = "" if not dry_run else ("; screened before" if is_there else "; would screen")
    show.say(f"{role:>9}  {model.plugin} on {learned}, {model.n_held_out:,} held out: {version}{screened}")
    if model.metrics:
        keys = [key for key in ("r2", "mae", "initial_mae", "coverage_1_sigma") if key in model.metrics]
        measured = "  ".join(f"{key} {show.text(model.metrics[key])}" for key in keys)
        show.say(f"{'':>9}  on the held-out rows: {measured}")


def _show_hits(screening: "ScreeningWithHits", *, is_alone: bool) -> None:
    columns = ["rank", "formula", f"{screening.property} ({screening.unit})", "+-", "pool line", "as"]
    keys = ["rank", "reduced_formula", "value", "uncertainty", "line", "formula"]
    if not is_alone:
        columns.append("rank by the other")
        keys.append("other_rank")
    title = f"{screening.role}: the first {len(screening.top)} of {screening.n_hits:,} hits"
    console.print(show.table(columns, show.cells(screening.top, keys), title=title))
