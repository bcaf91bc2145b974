"""`agd predict`: what a trained model answers."""

from typing import Annotated

import typer

from agd.cli import show
from agd.cli.show import Json, console


def predict(
    formulas: Annotated[list[str], typer.Argument(help="Formulas, in any spelling.")],
    model: Annotated[
        str, typer.Option(help="Id of an oracle or screener, or the beginning of its hash: `agd models`.")
    ],
    json: Json = False,
) -> None:
    """Ask any trained model about formulas; nothing is recorded.

    What it learned from, it answers by models that had not seen it. The distance is to the nearest composition it
    learned from; beside it the share of those that lie nearer to their own nearest.
    """
    from agd.steps.models.predicting import predict as ask

    with show.workspace() as workspace:
        found = ask(workspace, model, formulas)
    if json:
        show.print_json(found)
        return
    columns = ["formula", f"{found[0].property} ({found[0].unit})", "+-", "learned from", "distance", "share nearer"]
    keys = ["formula", "value", "uncertainty", "is_learned_from", "distance", "share_nearer"]
    console.print(show.table(columns, show.cells(found, keys), title=f"model version {found[0].model_version_id}"))
