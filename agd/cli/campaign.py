"""The verbs of a campaign: init, run, resume, stop, top, models, hash."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from agd.claims import LEVELS, Level
from agd.cli import show
from agd.cli.completing import complete_campaign
from agd.cli.show import Force, Json, console
from agd.cli.top_view import MaxPredictedHull, footnote, top_table
from agd.errors import InputError

if TYPE_CHECKING:
    from agd.steps.campaign.campaigns import Campaign
    from agd.views import RunProgress
    from agd.work.workspace import Workspace

EXIT_WAITING = 8
_N_METRICS = 4
EXIT_STOPPED = 130


Name = Annotated[str, typer.Argument(help="Name of the campaign.", autocompletion=complete_campaign)]
Twin = Annotated[
    bool,
    typer.Option(
        "--twin", help="Then spend the same budget at random (NAME-random) and by substitution (NAME-substitution)."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Engine = Annotated[
    str | None, typer.Option(help="local: this process does every step; fireworks: a queue, and workers anywhere.")
]
Workers = Annotated[int, typer.Option("--workers", "-n", min=1, max=1024, help="Processes that work the queue.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave it in the queue to `agd worker`, and return.")]


def init(
    file: Annotated[Path, typer.Argument(help="The specification to write.")] = Path("wide-gap.toml"),
    paper: Annotated[
        bool, typer.Option("--paper", help="The published loop: an autoencoder, latent points, decode failures.")
    ] = False,
    force: Force = False,
) -> None:
    """Write a commented specification of a campaign, and name the plug-ins that it can choose from."""
    from agd import registry
    from agd.cli import templates
    from agd.writing import write_text

    show.require_outputs(file, force=force)
    write_text(file, templates.template(file, is_paper=paper), force=force)
    show.say_wrote(file, f": look at its dataset, then `agd run {file}`")
    for group, key in (("agd.samplers", "[sampler] kind"), ("agd.oracles", "[oracle] kind")):
        show.say(f"{key:>18}  {', '.join(registry.names(group))}")
    show.say(f"{'[autoencoder] kind':>18}  {', '.join(registry.names('agd.generators'))}")


def run(
    spec: Annotated[Path, typer.Argument(help="Specification of the campaign (TOML).")],
    engine: Engine = None,
    workers: Workers = 1,
    detach: Detach = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    twin: Twin = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Open a campaign and run it to the end of its budget; run again, it goes on where it was.

    Ctrl-C finishes the step at hand, commits it and leaves.
    """
    from agd import engines
    from agd import spec as specification
    from agd.steps.campaign.opening import open_campaign, plan
    from agd.views import as_json

    resolved = specification.read(spec)
    how = _how(engine or engines.LOCAL, workers, detach, twin, quiet, json)
    with show.workspace() as workspace:
        if dry_run:
            planned = as_json(plan(workspace, resolved))
            for key in ("pool", "further_oracles"):  # where there is none, nothing is said of it
                if not planned[key]:
                    del planned[key]
            if json:
                show.print_json(planned)
            else:
                for answered, who in planned.pop("further_oracles", {}).items():
                    planned[f"oracle of {answered}"] = who
                for key, value in planned.items():
                    show.say(f"{key:>18}  {show.text(value)}")
            return
        if not quiet and show.notices.is_terminal:
            show.say_aside(f"{resolved.spec.name}: looking up its data sets and what it starts from")
        _run(workspace, open_campaign(workspace, resolved), how)


def resume(
    name: Name,
    engine: Engine = None,
    workers: Workers = 1,
    detach: Detach = False,
    twin: Twin = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Go on with a campaign where the record says it was, by the engine it was run with last."""
    from agd.steps.campaign.campaigns import campaign_row
    from agd.steps.campaign.opening import reopen_campaign

    with show.workspace() as workspace:
        campaign = reopen_campaign(workspace, name)
        last = campaign_row(workspace, name).engine
        _run(workspace, campaign, _how(engine or last, workers, detach, twin, quiet, json))


def stop(name: Name) -> None:
    """Ask the process that runs a campaign to finish its step, commit and leave."""
    from agd import engines
    from agd.db.connection import locked_campaigns
    from agd.db.record import campaigns
    from agd.steps.campaign.campaigns import campaign_row

    with show.workspace() as workspace:
        campaign = campaign_row(workspace, name)
        with workspace.database.transaction() as tx:
            is_queued = campaign.engine != engines.LOCAL and campaign.ended_at is None
            at_work = campaign.id in locked_campaigns(tx) or is_queued
            if at_work:
                campaigns.request_stop(tx, campaign.id)
    if at_work:
        show.say(f"{name} stops after the step at hand; go on with `agd resume {name}`")
    else:
        show.say(f"{name} is not running")


def top(
    name: Name,
    n: Annotated[int, typer.Option("-n", min=1, max=show.MAX_INT, help="How many.")] = 10,
    level: Annotated[Level | None, typer.Option(help="Only whose claim has come that far or farther.")] = None,
    max_predicted_hull: MaxPredictedHull = None,
    json: Json = False,
) -> None:
    """Show the best compositions a campaign has found."""
    from agd.steps.campaign.campaigns import get_campaign
    from agd.steps.reading.best import best_finds

    with show.workspace() as workspace:
        campaign = get_campaign(workspace, name)
        lowest = 0 if level is None else LEVELS.index(level)
        rows = best_finds(workspace, campaign.id, n, lowest, max_predicted_hull)
    if json:
        show.print_json(rows)
        return
    console.print(top_table(f"{name}: {campaign.spec.sought()}", campaign.spec.targets, rows))
    if (note := footnote(rows)) is not None:
        show.say(note)


def models(
    every: Annotated[bool, typer.Option("--all", help="Every metric, not the first few alone.")] = False,
    json: Json = False,
) -> None:
    """List the model versions with what was measured of each."""
    from agd.steps.reading import overviews

    with show.workspace() as workspace, workspace.database.read() as tx:
        rows = overviews.model_versions(tx)
    if json:
        show.print_json(rows)
        return
    shown = [
        [
            row.id,
            f"{row.kind} {row.plugin} v{row.architecture_version}"
            + ("" if row.input_model_version_id is None else f", told by {row.input_model_version_id}"),
            row.seed,
            row.n_members,
            row.tensors_sha256[:12],
            _metrics(row.metrics, len(row.metrics) if every else _N_METRICS),
        ]
        for row in rows
    ]
    console.print(show.table(["id", "model", "seed", "rows", "sha256", "metrics"], shown))


def _metrics(metrics: Mapping[str, float], n: int) -> str:
    """The first metrics, those of the shortest names (r2, mae), and how many more there are."""
    words = [f"{key} {show.text(value)}" for key, value in metrics.items()]
    return "  ".join([*words[:n], *([f"+{len(words) - n}"] if len(words) > n else [])])


def retrain(
    sha256: Annotated[str, typer.Argument(help="Beginning of the model's hash, as `agd models` shows it.")],
) -> None:
    """Make a lost or damaged model file again from its recorded recipe."""
    from agd.cli.live import training_bar
    from agd.steps.models.training import retrain as make_again

    with show.workspace() as workspace, training_bar("retrain") as progress:
        made = make_again(workspace, sha256, progress)
    show.say(f"model {made} is in its place again")


def hash_(
    name: Name,
    with_later: Annotated[
        bool,
        typer.Option("--with-later", help="Also what came after its steps: retractions, labels told anew, screenings."),
    ] = False,
    json: Json = False,
) -> None:
    """Print the content hash of a campaign's search: equal for equal rows under any name, whatever was killed.

    It covers the specification but for the name, the rows the search started from, its models, and what its steps
    wrote: suggestions, what became of them, and their first answers. What came later is left out without --with-later.
    A campaign begun before schema 0007 keeps its older hash, with its name and what came later; --json says what is
    covered.
    """
    from agd.db.record import hashes
    from agd.steps.campaign.campaigns import get_campaign

    with show.workspace() as workspace:
        get_campaign(workspace, name)
        with workspace.database.read() as tx:
            found = hashes.of_campaign(tx, name, with_later=with_later)
    assert found is not None  # noqa: S101  campaigns are never removed
    if json:
        told = {"campaign": name, "function": found.function, "sha256": found.sha256, "covers": found.covers}
        show.print_json(told)
    else:
        show.say(found.sha256)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(init)
    app.command()(run)
    app.command()(resume)
    app.command()(stop)
    app.command()(top)
    app.command()(models)
    app.command()(retrain)
    app.command("hash")(hash_)


class How(NamedTuple):
    """How a campaign is to be run."""

    engine: str
    n_workers: int
    is_detached: bool
    twin: bool
    quiet: bool
    json: bool


def _how(engine: str, workers: int, detach: bool, twin: bool, quiet: bool, json: bool) -> How:
    """What was asked for; raises NotFoundError or InputError where it cannot be."""
    from agd import engines, registry
    from agd.errors import NotFoundError

    known = registry.names(engines.GROUP)
    if engine not in known:
        raise NotFoundError(f"--engine: no engine {engine!r}{registry.suggestion(engine, known)}")
    if (detach or workers > 1) and not engines.load(engine).has_queue:
        raise InputError(
            f"--detach and --workers are for `--engine {engines.QUEUE}`: the {engine} engine is one process"
        )
    return How(engine, workers, detach, twin, quiet, json)


def _run(workspace: "Workspace", campaign: "Campaign", how: How) -> None:
    """Run a campaign, and its controls when asked to; leave with a code where one did not come to its end."""
    from agd.steps.campaign.opening import open_controls

    campaigns = [campaign, *(open_controls(workspace, campaign) if how.twin else [])]
    if how.is_detached:
        _submit(workspace, campaigns, how)
        return
    rows = []
    for one in campaigns:
        row, code = _run_one(workspace, one, how)
        rows.append(row)
        if code:
            break
    if how.json:
        show.print_json(rows if how.twin else rows[0])
    if code:
        raise typer.Exit(code)
    if not how.json:
        also = f"; see `agd compare {campaign.name}`" if how.twin else ""
        show.say(f"see `agd top {campaign.name}`, `agd report {campaign.name}` and `agd why FORMULA`{also}")


def _submit(workspace: "Workspace", campaigns: Sequence["Campaign"], how: How) -> None:
    """Leave campaigns to the workers of the queue."""
    from agd import engines
    from agd.steps.reading import overviews

    engine = engines.load(how.engine)()
    rows = []
    for one in campaigns:
        engine.submit(workspace, one)
        with workspace.database.read() as tx:
            rows += overviews.campaigns(tx, one.name)
    if how.json:
        show.print_json(rows if how.twin else rows[0])
        return
    for row in rows:
        show.say(f"{row.campaign}: {row.state}; `agd worker` works on it, `agd status {row.campaign}` tells")


def _run_one(workspace: "Workspace", campaign: "Campaign", how: How) -> "tuple[RunProgress, int]":
    """How the campaign stands after the run, and the exit code."""
    from agd import engines
    from agd.cli.live import Watcher, counters
    from agd.steps.reading import overviews
    from agd.views import RunProgress, as_json

    engine = engines.load(how.engine)()
    with Watcher(workspace, campaign, quiet=how.quiet) as watcher:
        outcome = engine.run(
            workspace,
            campaign,
            n_workers=how.n_workers,
            on_step=watcher.on_step,
            progress=watcher.on_progress,
        )
    with workspace.database.read() as tx:
        (row,) = overviews.campaigns(tx, campaign.name)
    if not how.json:
        spent = "on as many distinct compositions" if row.mode == "default" else f"on {row.n_new} distinct ones"
        show.say(
            f"{campaign.name}: {row.n_charged} of {row.budget_calls} oracle calls spent {spent} in "
            f"{show.duration(outcome.seconds)}; {counters(row)}; {row.state}",
        )
    code = 0
    if outcome.is_waiting:
        owed = f"labels: `agd ask {campaign.name}` lists them, `agd tell` takes them"
        show.say_aside(f"waiting for {owed}" if outcome.kept_back is None else f"waiting: {outcome.kept_back}")
        code = EXIT_WAITING
    elif not outcome.is_ended:
        show.say_aside(f"stopped; go on with `agd resume {campaign.name}`")
        code = EXIT_STOPPED
    return RunProgress(**as_json(row), n_steps=outcome.n_steps, seconds=round(outcome.seconds, 1)), code
