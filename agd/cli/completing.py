"""Names that the shell completes: of campaigns and of data sets; none where the record does not answer."""

from typing import TYPE_CHECKING

from agd.cli import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agd.db.connection import Transaction


def complete_campaign(beginning: str) -> list[str]:
    """The campaigns whose names begin so."""
    from agd.db.record import campaigns

    return _beginning(beginning, campaigns.names)


def complete_dataset(beginning: str) -> list[str]:
    """The data sets whose names begin so."""
    from agd.db.record import datasets

    return _beginning(beginning, datasets.names)


def _beginning(words: str, names: "Callable[[Transaction], Iterable[str]]") -> list[str]:
    from agd.errors import AgdError

    try:
        with show.workspace() as workspace, workspace.database.read() as tx:
            return [name for name in names(tx) if name.startswith(words)]
    except AgdError:
        return []
