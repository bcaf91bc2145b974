"""Files that are whole or not there, and that overwrite nothing unasked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agd.errors import InputError


def refuse_to_overwrite(path: Path, *, force: bool) -> None:
    """Raise InputError where the file is there and `force` is not set."""
    if path.exists() and not force:
        raise InputError(f"{path} is there already: choose another name, or --force to overwrite it")


@contextmanager
def replacing(path: Path, *, force: bool) -> Iterator[Path]:
    """A temporary file beside `path`, which takes its place once it is whole.

    Raises:
        InputError: `path` is there and `force` is not set, or it cannot be written.
    """
    refuse_to_overwrite(path, force=force)
    made = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield made
        made.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)


def write_text(path: Path, content: str, *, force: bool) -> None:
    """Write a text file; raises InputError as `replacing` does."""
    with replacing(path, force=force) as made:
        made.write_text(content, encoding="utf-8")
