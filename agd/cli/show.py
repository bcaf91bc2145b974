"""How things are shown: tables for people, JSON for programs."""

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from agd.streams import printable
from agd.waiting import waiting

if TYPE_CHECKING:
    from agd.work.workspace import Workspace

_LOG_WIDTH = 160


class _Screen(Console):
    """A console that lets no text steer the terminal: what is shown may have come from anybody's file."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            words = segment.text if segment.control else printable(segment.text)
            yield segment if words == segment.text else Segment(words, segment.style)


def _screen(*, is_stderr: bool) -> _Screen:
    is_terminal = (sys.stderr if is_stderr else sys.stdout).isatty()
    return _Screen(stderr=is_stderr, highlight=False, emoji=False, width=None if is_terminal else _LOG_WIDTH)


_LONG_WORD: Final = 12
"""Characters from which on a word in a table may be broken."""

console, notices = _screen(is_stderr=False), _screen(is_stderr=True)

MAX_INT = 2**31 - 1
"""Largest number of rows an option may name: what the record counts with."""
MAX_SEED = 2**63 - 1

Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@contextmanager
def workspace() -> Iterator["Workspace"]:
    """The record of this installation and its model files."""
    from agd.config import load_settings
    from agd.db.connection import open_database
    from agd.work.workspace import Workspace

    settings = load_settings()
    home = settings.require_home()
    started = time.monotonic()
    with (
        waiting(lambda: f"agd: at work for {duration(time.monotonic() - started)}"),
        open_database(settings) as database,
    ):
        yield Workspace(database, home / "artifacts", settings.pace)


@contextmanager
def reading_workspace() -> Iterator["Workspace"]:
    """The same for who only looks, however many look at once: nothing can be written."""
    from agd.config import load_settings
    from agd.db.connection import ReadingLimits, open_database
    from agd.work.workspace import Workspace

    settings = load_settings()
    with open_database(settings, reading=ReadingLimits()) as database:
        yield Workspace(database, settings.require_home() / "artifacts", settings.pace)


def require_outputs(*paths: Path | None, force: bool, reads: Iterable[Path] = (), takes_streams: bool = True) -> None:
    """Raise InputError, before anything is read or computed, where an output cannot be written or would cost a file."""
    from agd.config import load_settings
    from agd.writing import check_outputs

    kept = load_settings().own_folders
    check_outputs(paths, force=force, reads=reads, kept=kept, takes_streams=takes_streams)


def require_folder(folder: Path) -> None:
    """Raise InputError where no files can be made in a folder, or it is agd's own."""
    from agd.config import load_settings
    from agd.writing import check_folder

    check_folder(folder, kept=load_settings().own_folders)


def say_wrote(path: Path, more: str = "") -> None:
    """Say that a file was written; aside where it was a stream, which may be standard output itself."""
    from agd.writing import is_stream

    (say_aside if is_stream(path) else say)(f"wrote {path}{more}")


def say(words: str) -> None:
    """Print a line as it is: no markup is read in it, no terminal folds it."""
    console.print(words, markup=False, soft_wrap=True)


def say_aside(words: str) -> None:
    """Print a line on standard error, as it is."""
    notices.print(words, markup=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value as indented JSON, all of it or nothing; what is not finite is null, for JSON has no word for it."""
    from agd.views import plain

    value = plain(value)
    is_ascii = not (sys.stdout.encoding or "").lower().startswith("utf")
    try:
        words = json.dumps(value, indent=2, default=_plain, ensure_ascii=is_ascii, allow_nan=False)
    except ValueError:
        words = json.dumps(_finite(value), indent=2, default=_plain, ensure_ascii=is_ascii)
    sys.stdout.write(f"{words}\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> Table:
    """A light table; numbers stand to the right, and are never broken.

    Where the terminal is too narrow for its words, each row is a list of its own, a line for each column.
    """
    shown = [[text(cell) for cell in row] for row in rows]
    numeric = [all(_is_numeric(row[i]) for row in shown) for i in range(len(columns))]
    made = Table(
        box=box.SIMPLE_HEAD,
        title=None if title is None else Text(title),
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    if _least_width(columns, shown) > console.width:
        made.show_header = False
        made.add_column(style="bold")
        made.add_column(overflow="fold")
        for row in shown:
            for name, cell in zip(columns, row, strict=True):
                made.add_row(name, Text(cell))
            made.add_section()
        return made
    for i, (name, is_number) in enumerate(zip(columns, numeric, strict=True)):
        widest = max((len(row[i]) for row in shown if is_number), default=0)
        made.add_column(name, justify="right" if is_number else "left", overflow="fold", min_width=widest)
    for row in shown:
        made.add_row(*(Text(cell) for cell in row))
    return made


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Characters that a table needs so that no word of it is broken, but for those that are long anyway."""
    texts: Iterable[tuple[str, ...]] = zip(columns, *rows, strict=True)
    widths = [min(_LONG_WORD, max(len(word) for one in column for word in one.split() or [""])) for column in texts]
    return sum(widths) + 3 * len(widths) - 1


def cells(rows: Iterable[object], fields: Sequence[str]) -> Iterator[list[object]]:
    """Some fields of each row."""
    return ([getattr(row, field) for field in fields] for row in rows)


def text(value: object) -> str:
    """A cell: a dash for nothing, four significant digits, times to the second."""
    match value:
        case None:
            shown = "-"
        case bool():
            shown = "yes" if value else "no"
        case float() | Decimal():
            shown = f"{value:.4g}"
        case int():
            shown = f"{value:,}"
        case datetime():
            shown = f"{value:%Y-%m-%d %H:%M:%S}"
        case timedelta():
            shown = duration(value.total_seconds())
        case _:
            shown = printable(str(value))
    return shown


def ago(moment: datetime | None) -> str:
    """How long ago something was, in one unit: 12 s, 5 min, 3 h, 4 d; the day itself after a month."""
    if moment is None:
        return "-"
    seconds = (datetime.now(moment.tzinfo) - moment).total_seconds()
    for limit, unit, word in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{max(0, int(seconds / unit))} {word} ago"
    days = int(seconds / 86400)
    return f"{days} d ago" if days <= 31 else f"{moment:%Y-%m-%d}"  # noqa: PLR2004  a month


def duration(seconds: float) -> str:
    """12.3 s, 4 min 05 s, 3 h 07 min."""
    if seconds < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _is_numeric(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").lstrip("+-").replace(".", "", 1).replace("e-", "").isdigit()


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case float() | Decimal():
            return value if math.isfinite(value) else None
        case _:
            return value


def _plain(value: Any) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
