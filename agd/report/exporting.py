"""Tables to take away: suggestions, labels, failures or hits of a campaign as CSV, JSON or Parquet."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, get_args

from agd.chem import smact_validity, validity
from agd.db.reading import exports
from agd.db.reading.exports import Stream
from agd.errors import InputError
from agd.installing import pip_install_extra
from agd.report.choices import Format, What
from agd.steps.campaign.campaigns import campaign_row
from agd.work.workspace import Workspace
from agd.writing import writing

_CHUNK: Final = 2_000
_SUFFIXES: Final[dict[str, Format]] = {f".{name}": name for name in get_args(Format)}


def rules() -> dict[str, object]:
    """The verdict rules whose answers stand beside a suggestion."""
    return {
        "rule": validity.RULE,
        "rule_version": validity.RULE_VERSION,
        "smact": smact_validity.RULE,
        "smact_version": smact_validity.RULE_VERSION,
    }


def format_of(path: Path | None, wanted: Format | None) -> Format:
    """The format asked for, else the one that the file's suffix tells, else CSV on standard output.

    Raises:
        InputError: the suffix tells none, or Parquet was to go to standard output.
    """
    if wanted is None and path is not None:
        if path.suffix not in _SUFFIXES:
            raise InputError(f"{path}: its suffix tells no format: end it in {', '.join(_SUFFIXES)}, or give --format")
        wanted = _SUFFIXES[path.suffix]
    if wanted == "parquet" and path is None:
        raise InputError("parquet goes to a file, not to standard output: give -o FILE.parquet")
    return wanted or "csv"


def export(
    workspace: Workspace,
    name: str,
    path: Path | None,
    format_: Format,
    *,
    what: What = "suggestions",
    latents: bool = False,
    force: bool = False,
) -> int:
    """Write rows of a campaign to `path`, or to standard output where it is None; return how many.

    Raises:
        NotFoundError: there is no such campaign.
        InputError: the file is there and `force` is not set, it cannot be written, or pyarrow is missing.
    """
    if latents and what not in {"suggestions", "failures"}:
        raise InputError(f"--what {what} has no latent vectors: leave --latents out, or export suggestions")
    campaign = campaign_row(workspace, name)
    write = _writers()[format_]
    with (
        workspace.database.read() as tx,
        _opened(path, force=force, kept=workspace.artifacts) as file,
        exports.rows(tx, what, campaign.id, rules(), latents=latents, chunk=_CHUNK) as stream,
    ):
        return write(stream, file)


@contextmanager
def _opened(path: Path | None, *, force: bool, kept: Path) -> Iterator[IO[bytes]]:
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with writing(path, force=force, kept=[kept]) as file:
        yield file


def _writers() -> dict[Format, Callable[[Stream, IO[bytes]], int]]:
    return {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}


def _write_csv(stream: Stream, file: IO[bytes]) -> int:
    """Floats as the shortest text that reads back the same; nothing for NULL; vectors as JSON arrays."""
    n_rows = 0
    lines = _Lines(file)
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(stream.columns)
    for part in stream.chunks:
        writer.writerows([_cell(value) for value in row] for row in part)
        n_rows += len(part)
    return n_rows


class _Lines:
    """What the csv module writes to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.encode())


def _cell(value: Any) -> object:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case list():
            return json.dumps(value)
        case None | int() | str():
            return value
        case _:
            return value.isoformat()


def _write_json(stream: Stream, file: IO[bytes]) -> int:
    """Write an array with one object to a line."""
    n_rows = 0
    file.write(b"[")
    for part in stream.chunks:
        for row in part:
            shown = json.dumps(dict(zip(stream.columns, row, strict=True)), default=_plain, ensure_ascii=False)
            file.write((",\n" if n_rows else "\n").encode() + shown.encode())
            n_rows += 1
    file.write(b"\n]\n")
    return n_rows


def _plain(value: Any) -> str:
    return str(value.isoformat())


def _write_parquet(stream: Stream, file: IO[bytes]) -> int:
    try:
        pa, parquet = (import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    except ImportError as error:
        raise InputError(f"parquet needs the package pyarrow: {pip_install_extra('parquet')}") from error
    from agd.report.frames import to_frame

    kinds = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "text": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "vector": pa.list_(pa.float32()),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in stream.columns.items()])

    def as_table(rows: Sequence[tuple[Any, ...]]) -> Any:
        return pa.Table.from_pandas(to_frame(stream.columns, rows), schema=schema, preserve_index=False)

    n_rows = 0
    with parquet.ParquetWriter(file, as_table([]).schema) as writer:
        for part in stream.chunks:
            writer.write_table(as_table(part))
            n_rows += len(part)
    return n_rows
