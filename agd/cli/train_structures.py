"""`agd train structures`: an oracle of structures, from their labels."""

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agd.cli import show
from agd.cli.completing import complete_dataset
from agd.cli.show import Json

if TYPE_CHECKING:
    from agd.views import TrainedStructureModel


def structures(
    dataset: Annotated[
        list[str],
        typer.Option(help="Name of a data set of structures with labels; repeatable.", autocompletion=complete_dataset),
    ],
    kind: Annotated[str, typer.Option(help="Plug-in, e.g. gatgnn.")] = "gatgnn",
    property_: Annotated[
        Literal["formation_energy", "band_gap"], typer.Option("--property", help="What it learns, in eV/atom or eV.")
    ] = "formation_energy",
    max_atoms: Annotated[int, typer.Option(min=1, max=show.MAX_INT, help="Largest primitive cell.")] = 20,
    limit: Annotated[
        int | None, typer.Option(min=3, max=show.MAX_INT, help="Take so many structures, drawn by the seed.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=10_000, help="Passes over them; as -o epochs=N.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so many; the same command then goes on from there.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="KEY=VALUE", help="An option of the plug-in; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=show.MAX_SEED)] = 0,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the formulas that the model is measured on.")
    ] = 0.1,
    threads: Annotated[
        int, typer.Option(min=1, max=1024, help="Part of the recipe: it decides the order of sums.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and store nothing.")] = False,
    json: Json = False,
) -> None:
    """Train an oracle of structures on their labels, by formula apart from those it is measured on.

    Their labels have to be of one method and one correction scheme, which the
    model's answers are of, too. What was killed goes on where it was.
    """
    from agd.cli.live import training_bar
    from agd.progress import silent
    from agd.steps.models.plugin_options import parse
    from agd.steps.models.structure_training import KIND, StructureChoice, train_on_structures
    from agd.steps.models.training import Recipe

    given = [*(option or []), *([] if epochs is None else [f"epochs={epochs}"])]
    options = parse("agd.structure_oracles", kind, given)
    choice = StructureChoice(tuple(dataset), property_, max_atoms, limit, held_out)
    recipe = Recipe(KIND, kind, property_, options, seed, threads)
    started = time.monotonic()
    with show.workspace() as workspace:
        if dry_run:
            found = train_on_structures(workspace, recipe, choice, silent, dry_run=True)
        else:
            with training_bar(f"train {kind}") as progress:
                found = train_on_structures(workspace, recipe, choice, progress, minutes=minutes)
    seconds = time.monotonic() - started
    if json:
        from agd.views import as_json

        show.print_json({**as_json(found), "seconds": round(seconds, 2), "dry_run": dry_run})
    else:
        _print(found, seconds, dry_run=dry_run)


def _print(model: "TrainedStructureModel", seconds: float, *, dry_run: bool) -> None:
    name = f"structure oracle {model.plugin}"
    if model.was_there:
        show.say(f"{name}: is in the record already, as model version {model.model_version_id}; nothing trained")
    elif model.stopped_at is not None:
        show.say(f"{name}: stopped in {model.stopped_at}; the same command goes on from there")
    elif dry_run:
        show.say(f"{name}: would be trained")
    else:
        show.say(f"{name}: trained in {show.duration(seconds)}, model version {model.model_version_id}")
    drawn = f"{model.n_structures:,} structures of at most {model.max_atoms} atoms, {model.n_formulas:,} formulas"
    judged = f"{model.n_held_out:,} held out by formula, {model.n_validation:,} to stop by"
    show.say(f"     rows  {drawn} of {', '.join(model.datasets)}; {judged}")
    show.say(f"   labels  {model.property} by {model.learned_method}, corrected as {model.correction_scheme}")
    show.say(f"   recipe  {model.recipe_sha256[:12]}, seed {model.seed}, threads {model.threads}")
    show.say("  options  " + "  ".join(f"{key} {show.text(value)}" for key, value in model.options.items()))
    if model.tensors_sha256 is not None:
        show.say(f"  tensors  sha256 {model.tensors_sha256[:12]}")
        show.say("  metrics  " + "  ".join(f"{key} {show.text(value)}" for key, value in sorted(model.metrics.items())))
