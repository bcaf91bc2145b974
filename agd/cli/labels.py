"""Labels by hand: `agd label add | retract`, and `agd ask | tell` for campaigns that wait for somebody outside."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agd.cli import show
from agd.cli.campaign import Name
from agd.cli.show import Json, console
from agd.errors import InputError

if TYPE_CHECKING:
    from agd.steps.data.labelling import AddedLabel
    from agd.views import Label, Resting, RestingCampaign, RestingModel

app = typer.Typer(no_args_is_help=True)

_EXIT_DECLINED = 1

Formula = Annotated[str, typer.Argument(help="A formula, in any spelling.")]
Uncertainty = Annotated[
    float | None, typer.Option("--uncertainty", "-u", help="One standard deviation, in the unit of the property.")
]
Unit = Annotated[
    str | None,
    typer.Option(metavar="UNIT", help="Of value and uncertainty, if not the property's: meV, kJ/mol."),
]
Operator = Annotated[str | None, typer.Option(help="Who measured it; you, if not given.")]
Day = Annotated[
    datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="Day of the measurement; today if not given.")
]
Note = Annotated[str | None, typer.Option(help="Method, sample, reference.")]
Replicate = Annotated[
    int,
    typer.Option(min=1, max=show.MAX_INT, help="Tells apart measurements of one compound by one operator on one day."),
]


@app.command("add")
def add(
    formula: Formula,
    value: Annotated[float, typer.Option(help="In the unit of the property.")],
    property_: Annotated[str, typer.Option("--property", help="What was measured.")] = "band_gap",
    uncertainty: Uncertainty = None,
    unit: Unit = None,
    operator: Operator = None,
    day: Day = None,
    note: Note = None,
    replicate: Replicate = 1,
    json: Json = False,
) -> None:
    """Record a measurement as a label of its own; the same again adds nothing."""
    from agd.steps.data.labelling import Measurement, add_label, whoami

    measurement = Measurement(value, operator or whoami(), uncertainty, note, replicate, unit)
    with show.workspace() as workspace:
        added = add_label(workspace, formula, property_, measurement, measured_on=_day(day))
    _say_added(added, json=json)


@app.command("retract")
def retract(
    label_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the label, as `agd why` shows it.")],
    why: Annotated[str, typer.Option("--why", help="The reason, which stays in the record.")],
    formula: Annotated[
        str | None, typer.Option("--formula", help="The compound it must be of; a label of another one is refused.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: for scripts.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what rests on the label, and retract nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Withdraw a label: it stays in the record with the reason, and no new training set takes it.

    Shows the label and what rests on it, and asks; leaves with 1 where the answer is no.
    """
    from agd.steps.data.labelling import check_reason, retract_label, what_rests_on
    from agd.views import as_json

    check_reason(why)
    is_asked = not (yes or dry_run)
    with show.workspace() as workspace:
        resting = what_rests_on(workspace, label_id, formula)
        if is_asked or not json:
            _show_resting(resting, show.say_aside if json else show.say)
        if is_asked:
            _ask_to_retract(resting.label)
        if not dry_run:
            retract_label(workspace, label_id, why)
    if json:
        now = {"is_retracted": not dry_run, "retraction_reason": None if dry_run else why.strip(), "dry_run": dry_run}
        used = {"campaigns": resting.campaigns, "models": resting.models, "evaluations": resting.evaluations}
        show.print_json({**as_json(resting.label), **used, **now})
    elif not dry_run:
        show.say(f"label {label_id} of {resting.label.reduced_formula} retracted")


def ask(
    name: Name,
    n: Annotated[int | None, typer.Option("-n", min=1, help="How many at most; all that wait, if not given.")] = None,
    json: Json = False,
) -> None:
    """List the compositions a campaign waits for; begin its next iteration when none waits."""
    from agd.cli.live import training_bar

    with _open(name) as campaign, training_bar("train") as progress:
        waiting = campaign.ask(n, progress=progress)
        unit, state = campaign.status["unit"], campaign.status["state"]
    if json:
        show.print_json([asdict(row) for row in waiting])
    elif waiting:
        columns = ["formula", "iteration", "rank", f"expected ({unit})", "+-"]
        rows = ([row.formula, row.iteration, row.rank, row.expected, row.expected_sd] for row in waiting)
        console.print(show.table(columns, rows))
        show.say(f"answer with `agd tell {name} {waiting[0].formula} VALUE`, or `--give-up REASON`")
    else:
        show.say(f"{name} waits for nothing: {state}")


def tell(
    name: Name,
    formula: Formula,
    value: Annotated[float | None, typer.Argument(help="In the unit of the property.")] = None,
    give_up: Annotated[str | None, typer.Option(metavar="REASON", help="There will be no label, and why.")] = None,
    uncertainty: Uncertainty = None,
    unit: Unit = None,
    operator: Operator = None,
    day: Day = None,
    note: Note = None,
    replicate: Replicate = 1,
    json: Json = False,
) -> None:
    """Give a campaign the label of a composition it asked for."""
    if (value is None) == (give_up is None):
        raise InputError("give either a value, or --give-up with a reason")
    with _open(name) as campaign:
        if give_up is not None:
            campaign.give_up(formula, reason=give_up)
            show.say(f"{formula}: no label to come; it costs no call")
            return
        added = campaign.tell(
            formula,
            value,
            uncertainty=uncertainty,
            unit=unit,
            operator=operator,
            measured_on=_day(day),
            note=note,
            replicate=replicate,
        )
    _say_added(added, json=json)


def register(root: typer.Typer) -> None:
    """Add the verbs to the command line."""
    root.add_typer(app, name="label", help="Record a measurement, or retract a label.")
    root.command()(ask)
    root.command(context_settings={"ignore_unknown_options": True})(tell)  # a value may be negative


def _is_somebody_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _ask_to_retract(label: "Label") -> None:
    """Leave unless a person at a terminal says yes."""
    if not _is_somebody_there():
        raise InputError(
            f"label {label.label_id} of {label.reduced_formula} was not retracted: nobody is here to be asked; "
            "--yes retracts without a question, --dry-run shows what rests on it"
        )
    if not typer.confirm(f"retract label {label.label_id} of {label.reduced_formula}?", err=True):
        show.say_aside("nothing was retracted")
        raise typer.Exit(_EXIT_DECLINED)


def _show_resting(resting: "Resting", say: Callable[[str], None]) -> None:
    """What is about to be withdrawn, and what was made with it."""
    label = resting.label
    spread = "" if label.uncertainty is None else f" +- {show.text(label.uncertainty)}"
    line = "" if label.source_line is None else f", line {label.source_line:,}"
    say(
        f"label {label.label_id}: {label.property} of {label.reduced_formula} = {show.text(label.value)}{spread} "
        f"{label.unit}, from {label.source_kind} {label.source}{line}, {show.text(label.started_at)}"
    )
    lines = [*map(_campaign_line, resting.campaigns), *map(_model_line, resting.models)]
    lines += [
        f"{row.kind} {row.plugin}, model version {row.model_version_id}, was judged on dataset {row.dataset} with it"
        for row in resting.evaluations
    ]
    for one in lines:
        say(f"  {one}")
    if not lines:
        say("  nothing in the record rests on it")


def _campaign_line(row: "RestingCampaign") -> str:
    if row.is_initial:
        return f"campaign {row.campaign} started from it"
    found = ", a find" if row.is_find else ""
    again = f", suggested {row.n_suggested:,} times" if row.n_suggested > 1 else ""
    charged = "was charged for it" if row.is_charged else "took it"
    return f"campaign {row.campaign} {charged} in iteration {row.first_iteration}{again}{found}"


def _model_line(row: "RestingModel") -> str:
    how = "was measured by it" if row.is_held_out else "learned from it"
    counts = [(row.n_answers, "answer"), (row.n_screenings, "screening"), (row.n_hits, "hit")]
    made = [f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n]
    made += [f"an evaluation on {name}" for name in row.evaluated_on]
    used = f", used by {', '.join(row.campaigns)}" if row.campaigns else ""
    gave = f"; it gave {', '.join(made)}" if made else ""
    return (
        f"{row.kind} {row.plugin}, model version {row.model_version_id} ({row.tensors_sha256[:12]}), {how}{used}{gave}"
    )


def _open(name: str) -> Any:
    from agd.api import Campaign

    return Campaign.open(name)


def _day(given: datetime | None) -> date:
    return date.today() if given is None else given.date()  # noqa: DTZ011  a day is the operator's own


def _say_added(added: "AddedLabel", *, json: bool) -> None:
    if json:
        show.print_json(asdict(added))
    elif added.was_there:
        show.say(f"label {added.label_id} of {added.reduced_formula} is in the record already; nothing added")
    else:
        show.say(f"label {added.label_id} of {added.reduced_formula} recorded")
    if added.is_doubtful:
        words = "a word, an oxidation state or a slip"
        show.say_aside(f"the formula reads like {words}: check it (`agd label retract` withdraws)")
