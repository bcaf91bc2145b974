"""Labels by hand: `agd label add | retract`, and `agd ask | tell` for campaigns that wait for somebody outside."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any

import typer

from agd.cli import show
from agd.cli.campaign import Name
from agd.cli.show import Json, console
from agd.errors import InputError

app = typer.Typer(no_args_is_help=True)

Formula = Annotated[str, typer.Argument(help="A formula, in any spelling.")]
Uncertainty = Annotated[
    float | None, typer.Option("--uncertainty", "-u", help="One standard deviation, in the unit of the property.")
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
    operator: Operator = None,
    day: Day = None,
    note: Note = None,
    replicate: Replicate = 1,
    json: Json = False,
) -> None:
    """Record a measurement as a label of its own; the same again adds nothing."""
    from agd.steps.labelling import Measurement, add_label, whoami

    measurement = Measurement(value, operator or whoami(), uncertainty, note, replicate)
    with show.workspace() as workspace:
        added = add_label(workspace, formula, property_, measurement, measured_on=_day(day))
    _say_added(added, json=json)


@app.command("retract")
def retract(
    label_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the label, as `agd why` shows it.")],
    why: Annotated[str, typer.Option("--why", help="The reason, which stays in the record.")],
    json: Json = False,
) -> None:
    """Withdraw a label: it stays in the record with the reason, and no new training set takes it."""
    from agd.steps.labelling import retract_label

    with show.workspace() as workspace:
        row = retract_label(workspace, label_id, why)
    if json:
        show.print_json({**row._asdict(), "is_retracted": True, "retraction_reason": why})
    else:
        show.say(
            f"label {label_id} retracted: {row.property} {show.text(row.value)} {row.unit} of {row.reduced_formula}, "
            f"from {row.source_kind} {row.source}"
        )


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
        rows = ([row.formula, row.iteration, row.rank, row.posterior_mean, row.posterior_sd] for row in waiting)
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


def _open(name: str) -> Any:
    from agd.api import Campaign

    return Campaign.open(name)


def _day(given: datetime | None) -> date:
    return date.today() if given is None else given.date()  # noqa: DTZ011  a day is the operator's own


def _say_added(added: Any, *, json: bool) -> None:
    if json:
        show.print_json(asdict(added))
    elif added.was_there:
        show.say(f"label {added.label_id} of {added.reduced_formula} is in the record already; nothing added")
    else:
        show.say(f"label {added.label_id} of {added.reduced_formula} recorded")
    if added.is_doubtful:
        show.say_aside("the formula reads like a word or an oxidation state: check it (`agd label retract` withdraws)")
