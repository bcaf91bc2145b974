"""`agd reproduce`: the paper's tables and figures, from rows of the record."""

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd.cli import show
from agd.cli.show import Json, console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agd.progress import Progress
    from agd.reproduction.outcome import Outcome


def reproduce(
    target: Annotated[
        str,
        typer.Argument(
            help="table1, fig4, fig5 (kappa), fig8 (t-SNE), recovery, direct, screen24, exp1, exp2, exp3, exp4, "
            "matgan, or all; not the paper's: retrieval (real compounds found where true labels answer), search "
            "(what the default search proposes, and how much of it is true), oracles (how well each kind of oracle "
            "answers, and where it is blind) and screeners (what they are worth by where their labels come from)."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the authors' files, at any depth; data/paper or shared/data/paper here or beside this "
            "folder if not given."
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Formulas that the generator learns from, with the columns formula and icsd (1: taken); "
            "structures/mp_index.csv.gz beside the data if not given."
        ),
    ] = None,
    authors_data: Annotated[
        bool, typer.Option("--authors-data", help="Only what the authors' own AL rows and logs give: no campaign runs.")
    ] = False,
    authors_lists: Annotated[
        bool, typer.Option("--authors-lists", help="Only the authors' own candidate lists: nothing is trained.")
    ] = False,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Repeats of each training and search; 10, or 3 with --quick.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of the first repeat; the others count on from it.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look: 60 epochs of one oracle, 3 repeats of the rest.")
    ] = False,
    threads: Annotated[
        int,
        typer.Option(min=1, max=1024, help="Of each training; part of its recipe: it decides the order of sums."),
    ] = 2,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for TARGET.html, .csv, .json and the specifications.")
    ] = Path("reproduced"),
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite pages and inputs that are there, as after `all` was killed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long it takes.")] = False,
    json: Json = False,
) -> None:
    """Reproduce a table or a figure of the paper (arXiv 2103.00608), ours beside theirs and beside controls.

    Whatever was trained or run before is taken from the record: killed, the same command goes on.
    """
    from agd.cli.live import training_bar
    from agd.errors import InputError
    from agd.reproduction.authors import AuthorsFiles
    from agd.reproduction.pages import places, write
    from agd.reproduction.study import Protocol, Study, Wish
    from agd.reproduction.targets import chosen, estimate

    wish = Wish(is_authors_data=authors_data, is_authors_lists=authors_lists)
    targets = chosen(target, wish)
    files = AuthorsFiles.find(data)
    inputs = output / "inputs"
    show.require_folder(inputs)
    if output.is_dir():
        pages = [path for one in targets for path in places(output, one)]
        show.require_outputs(*pages, force=force, reads=[*files.known(), *([] if corpus is None else [corpus])])
    protocol = Protocol.quick(repeats, seed) if quick else Protocol.full(repeats, seed)
    seconds = estimate(targets, protocol, wish)
    told = f"{', '.join(targets)}: {_roughly(seconds)} on two cores where nothing is in the record yet"
    if dry_run:
        show.say(told)
        return
    show.say_aside(told)
    try:
        inputs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {output}: no folder can be made there ({error.strerror})") from error

    @contextmanager
    def watch(title: str) -> "Iterator[Progress]":
        started = time.monotonic()
        with training_bar(title) as progress:
            yield progress
        spent = time.monotonic() - started
        if spent > 1.0:
            show.say_aside(f"{title}: {show.duration(spent)}")

    outcomes = []
    with show.workspace() as workspace:
        study = Study(workspace, files, protocol, inputs, threads, watch, corpus, is_forced=force)
        for one in targets:
            outcome = targets[one](study, wish)
            written = write(output, outcome, force=force)
            outcomes.append(outcome)
            if not json:
                _show(outcome)
            show.say_aside(f"wrote {', '.join(map(str, written))}")
    if json:
        show.print_json([outcome.told() for outcome in outcomes])


def _roughly(seconds: float) -> str:
    """Minutes or hours, no finer than the estimate."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    if minutes < 100:  # noqa: PLR2004  up to here people speak of minutes
        return f"about {minutes:.0f} min"
    return f"about {minutes / 60:.0f} h"


def _show(outcome: "Outcome") -> None:
    from agd.reproduction.outcome import Compared, Drawing, Listed, Words
    from agd.reproduction.pages import shown_rows

    show.say(f"\n{outcome.title}\n{outcome.lead}")
    for part in outcome.parts:
        match part:
            case Compared():
                titles, rows = shown_rows(part.lines)
                console.print(show.table(titles, rows, title=part.title))
            case Listed():
                console.print(show.table(part.columns, part.rows, title=part.title))
            case Drawing() | Words():
                continue
