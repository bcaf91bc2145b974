"""`agd generate`: formulas from a generator become a data set; `agd generations` lists what was generated."""

from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.filter_words import Rules, filter_of
from agd.cli.show import Json, console
from agd.policies import KeepPolicy

if TYPE_CHECKING:
    from agd.steps.generation.generating import GenerationPlan
    from agd.views import ExpectedGeneration, FoundGeneration, Generation
    from agd.work.workspace import Workspace

_TRIMS = ("max_elements", "max_atoms", "max_count")

Trim = Annotated[int | None, typer.Option(min=1, max=show.MAX_INT, help="Of the reduced formula; no limit if absent.")]


def generate(
    name: Annotated[str, typer.Argument(help="Name of the generation, a data set of the record.")],
    generator: Annotated[
        str | None,
        typer.Option(help="Its id, or the beginning of its hash (see `agd models`); the only one if not given."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, max=show.MAX_INT, help="Samples to draw.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, max=show.MAX_SEED, help="Of the stream of samples.")] = 0,
    start: Annotated[int, typer.Option(min=0, max=show.MAX_INT, help="Number of the first sample.")] = 0,
    keep: Annotated[
        KeepPolicy,
        typer.Option(help="Every distinct composition, or the charge-neutral, electronegativity-balanced ones."),
    ] = "distinct",
    max_elements: Trim = None,
    max_atoms: Trim = None,
    max_count: Trim = None,
    rule: Rules = None,
    threads: Annotated[
        int, typer.Option(min=1, max=1024, help="Part of the recipe: it decides the order of sums.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Draw the first samples, say what to expect, store nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it in the queue to `agd worker`, and return.")
    ] = False,
    json: Json = False,
) -> None:
    """Draw samples from a generator and store their compositions, each with the number of its first sample."""
    from agd.cli.live import training_bar
    from agd.steps.generation.generating import GenerationPlan, choose_generator, estimate
    from agd.steps.generation.generating import generate as draw
    from agd.steps.generation.tallying import Keeping

    keeping = Keeping(keep, max_elements, max_atoms, max_count, filter_of(rule))
    with show.workspace() as workspace:
        chosen = choose_generator(workspace, generator)
        plan = GenerationPlan(name, chosen.id, n, seed, start, keeping, threads)
        with training_bar("generate") as progress:
            is_dry = dry_run or detach
            found = estimate(workspace, plan) if is_dry else draw(workspace, plan, progress=progress)
        if detach and not dry_run and not found.was_there:
            _leave(workspace, plan, json=json)
            return
    if json:
        show.print_json(found)
    else:
        _show(found)


def generations(
    name: Annotated[str | None, typer.Argument(help="Name of a generation; all of them if not given.")] = None,
    json: Json = False,
) -> None:
    """List the generations, or show the stages of one."""
    from agd.steps.generation.generating import describe
    from agd.steps.reading import overviews

    with show.workspace() as workspace:
        if name is not None:
            found = describe(workspace, name)
            if json:
                show.print_json(found)
            else:
                _show_one(found)
            return
        with workspace.database.read() as tx:
            rows = overviews.all_generations(tx)
    if json:
        show.print_json(rows)
        return
    if not rows:
        show.say("no generations yet: see `agd generate --help`")
        return
    columns = ["name", "generator", "seed", "first", "samples", "kept", "stored", "valid", "unique", "novel", "when"]
    console.print(show.table(columns, map(_cells, rows)))


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(generate)
    app.command()(generations)


def _leave(workspace: "Workspace", plan: "GenerationPlan", *, json: bool) -> None:
    """Leave the generation to the workers of the queue."""
    from agd import engines

    ids = engines.of_queue().submit(workspace, plan)
    if json:
        show.print_json({"generation": plan.name, "fw_ids": ids})
    else:
        show.say(f"firework {ids[0]} is queued; `agd worker` does it, then see `agd generations {plan.name}`")


def _cells(row: "Generation") -> list[object]:
    metrics = row.options["metrics"]
    return [
        row.generation,
        f"{row.generator} {row.generator_sha256[:12]}",
        row.seed,
        row.first_sample,
        row.n_samples,
        row.options["keep"],
        row.n_compositions,
        *(_share(metrics[name]) if name in metrics else "-" for name in ("validity", "uniqueness", "novelty")),
        row.generated_at,
    ]


def _show(found: "FoundGeneration | ExpectedGeneration") -> None:
    from agd.views import ExpectedGeneration, NewGeneration

    name = found.generation
    if isinstance(found, ExpectedGeneration):
        kept = found.n_compositions / found.n_probed
        took = show.duration(found.estimate_s)
        show.say(f"{name}: would draw {found.n_samples:,} samples in about {took}")
        show.say(f"the first {found.n_probed:,} gave {found.n_compositions:,} compositions ({_share(kept)}):")
    elif isinstance(found, NewGeneration):
        seconds = found.seconds or 0.0
        pace = found.n_samples / max(seconds, 0.01)
        show.say(
            f"{name}: stored {found.n_compositions:,} compositions, {found.n_new_compositions:,} of them new to "
            f"the record, in {show.duration(seconds)} ({pace:,.0f} samples a second)"
        )
    else:
        show.say(f"{name}: is in the record already; nothing generated")
    _show_one(found)


def _show_one(found: "Generation | ExpectedGeneration") -> None:
    last = found.first_sample + found.n_samples - 1
    generator = f"{found.generator} {found.generator_sha256[:12]}, model version {found.model_version_id}"
    show.say(f"  {generator}, seed {found.seed}, samples {found.first_sample:,} to {last:,}")
    trims = [f"{key.removeprefix('max_')} to {found.options[key]}" for key in _TRIMS if found.options[key]]
    what = {"distinct": "every distinct composition", "valid": "valid compositions"}[found.options["keep"]]
    rules = [
        f"{key}={','.join(value) if isinstance(value, list) else show.text(value)}"
        for key, value in found.options.get("filter", {}).items()
    ]
    show.say(f"  kept: {', '.join([what, *trims, *rules])}; {found.n_compositions:,} of them")
    stages = found.stages
    before = [None, *stages.values()]
    rows = [
        [stage, n, _share(n / stages["sampled"]), "-" if not last else _share(n / last)]
        for (stage, n), last in zip(stages.items(), before, strict=False)
    ]
    console.print(show.table(["stage", "left", "of the samples", "of the stage before"], rows))
    metrics = found.options["metrics"]
    show.say("  " + "  ".join(f"{key.replace('_', ' ')} {_share(value)}" for key, value in sorted(metrics.items())))


def _share(share: float) -> str:
    return f"{100 * share:.2f} %"
