"""`agd train`: one model by hand, from a dataset or from a campaign's labels."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agd.cli import show
from agd.cli.completing import complete_dataset
from agd.cli.show import Json
from agd.cli.train_structures import structures

if TYPE_CHECKING:
    from agd.progress import Progress
    from agd.steps.models.training import Trained
    from agd.work.workspace import Workspace

app = typer.Typer(no_args_is_help=True)
app.command()(structures)

Dataset = Annotated[str, typer.Option(help="Name of the data set.", autocompletion=complete_dataset)]
Option = Annotated[
    list[str] | None, typer.Option("--option", "-o", metavar="KEY=VALUE", help="An option of the plug-in; repeatable.")
]
Seed = Annotated[int, typer.Option(min=0, max=show.MAX_SEED)]
HeldOut = Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the rows that the model is measured on.")]
Threads = Annotated[int, typer.Option(min=1, max=1024, help="Part of the recipe: it decides the order of sums.")]
AlsoLabelsOf = Annotated[
    list[str] | None,
    typer.Option(metavar="CAMPAIGN", help="With --labels al: this campaign's own labels besides; repeatable."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and store nothing.")]


@app.command()
def autoencoder(
    dataset: Dataset,
    kind: Annotated[str, typer.Option(help="Plug-in, e.g. set.")] = "set",
    option: Option = None,
    seed: Seed = 0,
    held_out: HeldOut = 0.2,
    threads: Threads = 1,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train an autoencoder on the formulas of a data set."""
    from agd.steps.models.plugin_options import parse
    from agd.steps.models.training import Recipe
    from agd.steps.models.training_sets import corpus, find_dataset

    options = parse("agd.generators", kind, option or [])
    with show.workspace() as workspace:
        with workspace.database.read() as tx:
            row = find_dataset(tx, dataset)
            parts = corpus(tx, row, kind, options, share=held_out, seed=seed)
        recipe = Recipe("autoencoder", kind, None, options, seed, threads)
        _print(_train(workspace, recipe, parts, dry_run=dry_run), dataset, dry_run=dry_run, json=json)


@app.command()
def oracle(
    dataset: Dataset,
    kind: Annotated[str, typer.Option(help="Plug-in, e.g. random_forest.")] = "random_forest",
    with_answers_of: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Tell it what this model answers: id or beginning of the hash; for --kind informed_trees.",
        ),
    ] = None,
    option: Option = None,
    seed: Seed = 0,
    held_out: HeldOut = 0.1,
    threads: Threads = 1,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train an oracle on the values of a data set, or on these and what another model answers."""
    from agd.steps.models.plugin_options import parse
    from agd.steps.models.predicting import teller
    from agd.steps.models.training import Recipe
    from agd.steps.models.training_sets import find_dataset, labelled

    options = parse("agd.oracles", kind, option or [])
    with show.workspace() as workspace:
        with workspace.database.read() as tx:
            row = find_dataset(tx, dataset)
            parts = labelled(tx, row, share=held_out, seed=seed)
            told_by = None if with_answers_of is None else teller(tx, with_answers_of, kind)
        recipe = Recipe("oracle", kind, row.property, options, seed, threads, told_by)
        _print(_train(workspace, recipe, parts, dry_run=dry_run), dataset, dry_run=dry_run, json=json)


@app.command()
def generator(
    dataset: Dataset,
    kind: Annotated[str, typer.Option(help="Plug-in, e.g. matgan.")] = "matgan",
    option: Option = None,
    seed: Seed = 0,
    held_out: HeldOut = 0.1,
    threads: Threads = 1,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train a generator on the formulas of a data set; see `agd generate`."""
    from agd.steps.models.plugin_options import parse
    from agd.steps.models.training import Recipe
    from agd.steps.models.training_sets import find_dataset, representable

    options = parse("agd.formula_generators", kind, option or [])
    with show.workspace() as workspace:
        with workspace.database.read() as tx:
            row = find_dataset(tx, dataset)
            parts = representable(tx, row, kind, share=held_out, seed=seed)
        recipe = Recipe("generator", kind, None, options, seed, threads)
        _print(_train(workspace, recipe, parts, dry_run=dry_run), dataset, dry_run=dry_run, json=json)


@app.command()
def screener(
    campaign: Annotated[str, typer.Option(help="Name of the campaign.")],
    labels: Annotated[
        Literal["initial", "al"], typer.Option(help="What it learns from: al has the campaign's own labels as well.")
    ] = "al",
    also_labels_of: AlsoLabelsOf = None,
    kind: Annotated[str, typer.Option(help="Plug-in, e.g. random_forest.")] = "random_forest",
    option: Option = None,
    seed: Seed = 0,
    held_out: HeldOut = 0.1,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="The campaign's if not given.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train a screener on the labels of a campaign; a forest has 200 trees if nothing else is said."""
    from agd.steps.campaign.campaigns import get_campaign
    from agd.steps.screening.screening import ScreenerChoice, train_screener

    choice = ScreenerChoice(kind, tuple(option or ()), seed, held_out, threads, tuple(also_labels_of or ()))
    with show.workspace() as workspace:
        found = get_campaign(workspace, campaign)

        def train(progress: "Progress") -> "Trained":
            return train_screener(workspace, found, labels, choice, progress, dry_run=dry_run)

        _print(_watched("screener", train, dry_run=dry_run), f"campaign {campaign}", dry_run=dry_run, json=json)


def _train(workspace: "Workspace", recipe: Any, parts: Any, *, dry_run: bool) -> tuple["Trained", float]:
    from agd.steps.models.training import look_up, train_by_hand

    def train(progress: "Progress") -> "Trained":
        return look_up(workspace, recipe, parts) if dry_run else train_by_hand(workspace, recipe, parts, progress)

    return _watched(recipe.kind, train, dry_run=dry_run)


def _watched(kind: str, train: Callable[["Progress"], "Trained"], *, dry_run: bool) -> tuple["Trained", float]:
    """The model, and the seconds it took."""
    from agd.cli.live import training_bar
    from agd.progress import silent

    started = time.monotonic()
    if dry_run:
        return train(silent), 0.0
    with training_bar(f"train {kind}") as progress:
        return train(progress), time.monotonic() - started


def _print(outcome: tuple["Trained", float], drawn_from: str, *, dry_run: bool, json: bool) -> None:
    from agd.views import as_json

    model, seconds = outcome
    if json:
        more = {"drawn_from": drawn_from, "seconds": round(seconds, 2), "dry_run": dry_run}
        show.print_json({**as_json(model.view()), **more})
        return
    learned = ""
    if model.last_iteration is not None:
        learned = f" and {model.n_learned:,} labels of iterations up to {model.last_iteration}"
    rows = f"{model.n_initial:,} rows{learned} of {drawn_from}, {model.n_held_out:,} of them held out"
    name = f"{model.recipe.kind} {model.recipe.plugin}"
    if model.was_there:
        show.say(f"{name}: is in the record already, as model version {model.model_version_id}; nothing trained")
    elif dry_run:
        show.say(f"{name}: would be trained")
    else:
        show.say(f"{name}: trained in {show.duration(seconds)}, model version {model.model_version_id}")
    show.say(f"     rows  {rows}")
    show.say(f"   recipe  {model.recipe_sha256[:12]}, seed {model.recipe.seed}, threads {model.recipe.threads}")
    options = model.recipe.options.model_dump(mode="json")
    show.say("  options  " + "  ".join(f"{key} {show.text(value)}" for key, value in options.items()))
    if model.tensors_sha256 is not None:
        show.say(f"  tensors  sha256 {model.tensors_sha256[:12]}")
        show.say("  metrics  " + "  ".join(f"{key} {show.text(value)}" for key, value in sorted(model.metrics.items())))
