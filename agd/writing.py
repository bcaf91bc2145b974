"""Files that are whole or not there, and that take no other file's place unasked.

What a user named is judged by `check_output` before anything is read or computed, then written by `writing`. A link is
followed, as a shell does; what is no regular file (a pipe, a terminal, /dev/stdout) is a stream, which holds nothing
that could be lost.
"""

import os
import re
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from agd.errors import InputError

PART = ".part"
"""How the name of a file ends until it is whole."""

STDIN = Path("-")

_PROBE_BYTES = 1 << 16
_OWN_DESCRIPTOR = re.compile(r"/dev/(?:stdout|stderr|fd/(\d+))|/(?:proc/self|dev)/fd/(\d+)")


def check_output(
    path: Path, *, force: bool, reads: Iterable[Path] = (), kept: Iterable[Path] = (), takes_streams: bool = True
) -> None:
    """Raise InputError unless a file can be written there and nothing is lost by it; leaves no trace.

    `force` allows to overwrite a file, but none that the command `reads` (`-` is standard input) and none in the
    folders that agd has `kept` for itself.
    """
    with _as_input_error(path):
        if str(path) == "-":
            raise InputError("-: no file can be called that here: name one, or /dev/stdout")
        there = _status(path)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise InputError(f"{path} is a folder: name the file to write in it")
        if there is not None and any(_is_same(there, read) for read in reads):
            raise InputError(f"{path} is a file that this command reads: choose another name to write to")
        if is_stream(path):
            if not takes_streams:
                raise InputError(f"{path} is no regular file, and only one can be read back: name a file")
            return
        if there is not None and not stat.S_ISREG(there.st_mode):
            raise InputError(f"{path} is a device or a socket: name a file")
        _refuse_kept(path, kept)
        if os.path.lexists(path) and not force:
            raise _is_there(path)
        folder = _followed(path).parent
        if not folder.is_dir():
            raise InputError(f"{path}: cannot be written (there is no folder {folder}: make it first)")
        _probe(folder)


def check_outputs(
    paths: Sequence[Path | None],
    *,
    force: bool,
    reads: Iterable[Path] = (),
    kept: Iterable[Path] = (),
    takes_streams: bool = True,
) -> None:
    """Judge several as `check_output` does, and raise InputError where two are the same; None is one not asked for."""
    named = [path for path in paths if path is not None]
    for path in named:
        check_output(path, force=force, reads=reads, kept=kept, takes_streams=takes_streams)
    files = [os.path.realpath(path) for path in named if not is_stream(path)]
    if len(set(files)) < len(files):
        raise InputError(f"{named[-1]} is named for two outputs: one would overwrite the other")


def check_folder(folder: Path, *, kept: Iterable[Path] = ()) -> None:
    """Raise InputError unless files can be made in a folder, which itself may have to be made."""
    with _as_input_error(folder):
        _refuse_kept(folder, kept)
        there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
        if not there.is_dir():
            raise InputError(f"{there} is no folder" if there == folder else f"{folder}: {there} is no folder")
        _probe(there)


def is_stream(path: Path) -> bool:
    """Whether what is written there flows on: a pipe, a terminal, /dev/null, or this program's own output."""
    there = _status(path)
    if there is None:
        return False
    flows = stat.S_ISFIFO(there.st_mode) or stat.S_ISCHR(there.st_mode)
    return flows or _OWN_DESCRIPTOR.fullmatch(str(path)) is not None


@contextmanager
def writing(path: Path, *, force: bool, kept: Iterable[Path] = ()) -> Iterator[BinaryIO]:
    """What a user asked to be written: a file open for writing and reading, which takes its name once it is whole.

    A stream is given everything at the end. On any error nothing is left behind, and what was there stays.

    Raises:
        InputError: as `check_output`; a file of that name came up meanwhile, or the disk is full.
    """
    check_output(path, force=force, kept=kept)
    with _as_input_error(path):
        if is_stream(path):
            with tempfile.TemporaryFile() as gathered:
                yield gathered
                _pour(gathered, path)
        else:
            with whole_file(_followed(path), replaces=force) as file:
                yield file


def write_text(path: Path, content: str, *, force: bool) -> None:
    """Write a text file; raises InputError as `writing` does."""
    with writing(path, force=force) as file:
        file.write(content.encode())


@contextmanager
def whole_file(path: Path, *, replaces: bool) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its name once it is filled and on disk; removed on any error.

    Raises:
        FileExistsError: `path` is there, or came up meanwhile, and it is not to be replaced.
    """
    part = path.parent / f".{uuid.uuid4().hex}{PART}"
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replaces:
            part.replace(path)
        else:
            _take_free_name(part, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_free_name(part: Path, path: Path) -> None:
    """Give a file a name that nobody has; a rename alone would overwrite one that came up a moment ago."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise


def _pour(gathered: BinaryIO, path: Path) -> None:
    gathered.seek(0)
    if sys.stdout is not None:
        sys.stdout.flush()
    own = _OWN_DESCRIPTOR.fullmatch(str(path))
    if own is None:
        descriptor = os.open(path, os.O_WRONLY)
    else:  # opened by name, a file that standard output goes to would be written from its beginning
        number = own[1] or own[2]
        descriptor = os.dup(int(number) if number else {"/dev/stdout": 1, "/dev/stderr": 2}[str(path)])
    with os.fdopen(descriptor, "wb") as stream:
        shutil.copyfileobj(gathered, stream)


def _status(path: Path) -> os.stat_result | None:
    """Of what the name leads to; None where there is nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except ValueError as error:  # a null character
        raise InputError(f"{str(path)!a} is no name of a file ({error})") from error


def _followed(path: Path) -> Path:
    """Where a link leads to; another path as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _is_same(there: os.stat_result, read: Path) -> bool:
    """Whether that is the file which is read, by whatever name; a terminal is read and written at once."""
    if stat.S_ISCHR(there.st_mode):
        return False
    try:
        other = os.fstat(0) if read == STDIN else read.stat()
    except OSError:
        return False
    return os.path.samestat(there, other)


def _refuse_kept(path: Path, kept: Iterable[Path]) -> None:
    """Raise InputError for what lies in one of these folders, by whatever spelling."""
    real = Path(os.path.realpath(path))
    above = (real, *real.parents)
    for folder in kept:
        is_spelt_otherwise = folder.exists() and any(one.exists() and one.samefile(folder) for one in above)
        if is_spelt_otherwise or Path(os.path.realpath(folder)) in above:
            raise InputError(f"{path} would lie among the files of agd itself, in {folder}: choose another place")


def _probe(folder: Path) -> None:
    """Raise OSError where nothing can be written into a folder now: no right, read-only, full."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(_PROBE_BYTES))
        file.flush()


def _is_there(path: Path) -> InputError:
    if path.is_symlink() and not path.exists():
        return InputError(f"{path} is a link to nothing: choose another name, or --force to make what it names")
    return InputError(f"{path} is there already: choose another name, or --force to overwrite it")


@contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # a reader who has gone is no fault of the name
        raise
    except FileExistsError as error:
        raise _is_there(path) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
