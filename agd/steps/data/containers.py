"""Files as they come: told by their first bytes, whatever their name; unpacked and decoded as they are read."""

import bz2
import codecs
import errno
import gzip
import hashlib
import io
import lzma
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from agd.errors import InputError
from agd.steps.data.cells import shown
from agd.steps.data.formats import HEAD_BYTES, PARQUET, office_format, refuse_foreign

STDIN: Final = "-"
_ALSO_STDIN: Final = frozenset({STDIN, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})

MAX_LINE: Final = 2**26
"""Characters of one line, or of one quoted cell, at most: more is no table, and would fill the memory."""

_MAX_LAYERS: Final = 4
_BLOCK: Final = 2**20
_BOMB_BYTES, _BOMB_RATIO = 2**30, 200
"""Nothing that unpacks to more than both is a table: real ones shrink to a third or a thirtieth."""

_PACKINGS: Final[tuple[tuple[bytes, str, Callable[[Any], Any]], ...]] = (
    (b"\x1f\x8b", "gzip", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    *((b"BZh%d1AY&SY" % level, "bzip2", bz2.BZ2File) for level in range(1, 10)),
    (b"\xfd7zXZ\x00", "xz", lzma.LZMAFile),
    (b"]\x00\x00", "lzma", lzma.LZMAFile),
)
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_SHOWN: Final = 5
_JUNK: Final = ("__MACOSX/", ".DS_Store")
_DAMAGE: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)


@dataclass(slots=True)
class OpenedFile:
    """A file that can be read as often as wanted, and that has the same bytes each time; `sha256` is of them."""

    path: Path
    file: BinaryIO
    sha256: str
    n_bytes: int
    parquet: BinaryIO | None = None
    _encoding: str = "utf-8"
    _stat: tuple[int, int] = (0, 0)
    _layers: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        r"""The lines with their ends (`\n`, `\r\n` or `\r`), no byte-order mark; a byte that is no text is U+DC80 up.

        Raises:
            InputError: while they are read: the file is not whole, or no text of bearable lines.
        """
        blocks = self._texts()
        first = next(blocks, "").lstrip("\ufeff")
        return chain.from_iterable(self._cut(chain([first], blocks)))

    def require_unchanged(self) -> None:
        """Raise InputError where another program has written the file since it was opened."""
        if _stat_of(self.file) != self._stat:
            raise InputError(f"{self.path}: was written to while it was read: run the command again")

    def _cut(self, blocks: Iterator[str]) -> Iterator[io.StringIO]:
        """The text in parts that end with a line; StringIO splits them faster than any loop here could."""
        rest, n_lines = "", 0
        for block in blocks:
            text = rest + block
            cut = max(text.rfind("\n"), text.rfind("\r", 0, -1)) + 1  # a \r at the end may be half of a \r\n
            rest = text[cut:]
            if len(rest) > MAX_LINE:
                line = n_lines + text.count("\n", 0, cut) + 1
                raise InputError(f"{self.path}:{line}: a line of more than {MAX_LINE:,} characters: this is no table")
            if cut:
                yield io.StringIO(text[:cut], newline="")
                n_lines += text.count("\n", 0, cut)
        if rest:
            yield io.StringIO(rest, newline="")

    def _texts(self) -> Iterator[str]:
        is_utf8 = self._encoding == "utf-8"
        decoder = codecs.getincrementaldecoder(self._encoding)("surrogateescape" if is_utf8 else "surrogatepass")
        try:
            for block in self._blocks():
                yield decoder.decode(block)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path}: not whole {self._encoding.upper()} text ({error.reason}): save the file as UTF-8"
            ) from error

    def _blocks(self) -> Iterator[bytes]:
        n = 0
        with self._named_damage():
            stream, _ = self.unpacked()
            while block := stream.read(_BLOCK):
                n += len(block)
                if self._layers and n > max(_BOMB_BYTES, _BOMB_RATIO * self.n_bytes):
                    raise InputError(
                        f"{self.path}: unpacks to more than {_BOMB_RATIO} times its size: this is no table"
                    )
                yield block

    @contextmanager
    def _named_damage(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            if self._layers:
                raise InputError(f"{self.path}: not a whole {self._layers[-1]} file ({error})") from error
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.path}: cannot be read ({reason})") from error

    def unpacked(self) -> tuple[BinaryIO, bytes]:
        """The innermost stream at its beginning, and its first bytes."""
        stream: Any = self.file
        self._layers.clear()
        while True:
            stream.seek(0)
            head = stream.read(HEAD_BYTES)
            stream.seek(0)
            found = next(((name, unpack) for magic, name, unpack in _PACKINGS if head.startswith(magic)), None)
            if found is None and not head.startswith(_ZIP):
                return stream, head
            if len(self._layers) == _MAX_LAYERS:
                raise InputError(f"{self.path}: is packed more than {_MAX_LAYERS} times: unpack it first")
            name, unpack = found or ("zip", self._only_member)
            self._layers.append(name)
            stream = unpack(stream)

    def _only_member(self, file: BinaryIO) -> Any:
        archive = zipfile.ZipFile(file)
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if (words := office_format(archive, names)) is not None:
            raise InputError(f"{self.path}: {words}")
        members = [name for name in names if not any(junk in name for junk in _JUNK)]
        if len(members) != 1:
            some = ", ".join([*map(shown, members[:_SHOWN]), *(["..."] if len(members) > _SHOWN else [])])
            held = f"{len(members)} files ({some})" if members else "no file"
            raise InputError(f"{self.path}: a zip archive of {held}: unpack the one you mean")
        return archive.open(members[0])

    def recognise(self) -> None:
        """Find out what is in the file; raises InputError where it is not whole, or no table that can be read."""
        with self._named_damage():
            _, head = self.unpacked()
        self._encoding = _encoding_of(head)
        if head.startswith(PARQUET) and not self._layers and _ends_with(self.file, PARQUET):
            self.parquet = self.file
        elif self._encoding == "utf-8":
            refuse_foreign(self.path, head)


@contextmanager
def opened(path: Path) -> Iterator[OpenedFile]:
    """Open a file, a pipe or standard input (`-`); a pipe is kept aside, so that it can be read twice.

    Raises:
        InputError: it is not there, cannot be read, is not whole, or is of a format that is no table.
    """
    with _readable(path) as file:
        stat = _stat_of(file)
        digest, n_bytes = hashlib.sha256(), 0
        try:
            while block := file.read(_BLOCK):
                digest.update(block)
                n_bytes += len(block)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        found = OpenedFile(path, file, digest.hexdigest(), n_bytes, _stat=stat)
        found.recognise()
        yield found
        found.require_unchanged()


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    """The file, which can be sought in."""
    if is_stdin(path):
        with _aside(path, _stdin()) as kept:
            yield kept
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        if file.seekable():
            yield file
            return
        with _aside(path, file) as kept:
            yield kept


def is_stdin(path: Path) -> bool:
    """Whether standard input is meant."""
    return str(path) in _ALSO_STDIN


_CLOSED = "-: standard input is closed: name a file, or pipe one into it"


def _stdin() -> Any:
    if sys.stdin is None or sys.stdin.closed:
        raise InputError(_CLOSED)
    if sys.stdin.isatty():
        raise InputError("-: standard input is a terminal: name a file, or pipe one into it")
    return sys.stdin.buffer


@contextmanager
def _aside(path: Path, pipe: Any) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as kept:
        try:
            shutil.copyfileobj(pipe, kept, _BLOCK)
        except OSError as error:
            if error.errno == errno.EBADF:
                raise InputError(_CLOSED) from error
            where = f"cannot be read, or kept aside in {tempfile.gettempdir()}"
            raise InputError(f"{path}: {where} ({error.strerror or error})") from error
        kept.seek(0)
        yield cast("BinaryIO", kept)


def _stat_of(file: BinaryIO) -> tuple[int, int]:
    stat = os.fstat(file.fileno())
    return stat.st_size, stat.st_mtime_ns


def _ends_with(file: BinaryIO, magic: bytes) -> bool:
    file.seek(-len(magic), os.SEEK_END)
    return file.read() == magic


def _encoding_of(head: bytes) -> str:
    """By the byte-order mark; without one, by where ASCII has its zeros. Windows tools write UTF-16."""
    marks = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"))
    for mark, encoding in (*marks, (codecs.BOM_UTF16_BE, "utf-16")):
        if head.startswith(mark):
            return encoding
    zeros = "".join("0" if byte == 0 else "x" for byte in head[:4])
    return {"x000": "utf-32-le", "000x": "utf-32-be", "x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros, "utf-8")
