"""Rows of a campaign as pandas frames, with types that hold what is missing as missing."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from agd.db.reading import exports
from agd.report.exporting import rules
from agd.steps.campaign.campaigns import campaign_row
from agd.work.workspace import Workspace

_DTYPES: Final = {
    "bool": "boolean",
    "int": "Int64",
    "float": "float64",
    "text": "string",
    "time": "datetime64[us, UTC]",
    "date": "object",
    "vector": "object",
}
_CHUNK: Final = 10_000


def suggestions_frame(workspace: Workspace, name: str, *, latents: bool = False) -> pd.DataFrame:
    """One row per suggestion of a campaign, in order of (iteration, rank); `latents` adds the vector as a list.

    Raises:
        NotFoundError: there is no such campaign.
    """
    campaign = campaign_row(workspace, name)
    with (
        workspace.database.read() as tx,
        exports.rows(tx, "suggestions", campaign.id, rules(), latents=latents, chunk=_CHUNK) as stream,
    ):
        return to_frame(stream.columns, [row for part in stream.chunks for row in part])


def to_frame(columns: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """A frame of streamed rows, typed by the kinds of their columns, also where there is no row."""
    values = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return pd.DataFrame(
        {
            name: pd.Series(list(column), dtype=_DTYPES[kind])
            for (name, kind), column in zip(columns.items(), values, strict=True)
        }
    )
