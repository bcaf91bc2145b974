"""Rows of an import that were refused: written where they are wanted, and summed up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agd.cli import show
from agd.errors import InputError

if TYPE_CHECKING:
    from agd.steps.data.cleaning import Reject


class Imported(Protocol):
    """What every import says it did."""

    @property
    def dataset(self) -> str:
        """Its name."""

    @property
    def rejects(self) -> "Sequence[Reject]":
        """By line."""

    def rejects_by_kind(self) -> Mapping[str, int]:
        """The most frequent kind first."""


def write_refused(summary: Imported, wanted: Path | None, *, force: bool) -> Path | None:
    """Where the refused rows are; the data set is stored by now, so a full disk is no failure of the import."""
    from agd.steps.data.importing import keep_rejects, write_rejects

    if not summary.rejects:
        return None
    try:
        if wanted is None:
            return keep_rejects(summary.dataset, summary.rejects)
        write_rejects(wanted, summary.rejects, force=force)
    except InputError as error:
        again = f"`agd data show {summary.dataset} --rejects {len(summary.rejects)}`"
        show.say_aside(f"agd: warning: {error}; the refused rows are in the record: {again}")
        return None
    return wanted


def say_refused(summary: Imported, file: Path | None) -> None:
    """How many rows were refused, of each kind one."""
    if not summary.rejects:
        return
    where = "" if file is None else f", each with its line and reason in {file}"
    show.say_aside(f"  {len(summary.rejects):,} rows refused{where}:")
    for kind, n in summary.rejects_by_kind().items():
        first = next(reject for reject in summary.rejects if reject.kind == kind)
        show.say_aside(f"    {n:>6,}  {kind:<22} e.g. line {first.line}: {first.message}")
