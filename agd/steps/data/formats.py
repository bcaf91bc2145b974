"""Formats that are no table of text: known by their first bytes, and refused with what to do about it."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agd.errors import InputError

HEAD_BYTES: Final = 512
"""How much of a file its format is judged by."""

PARQUET: Final = b"PAR1"

_AS_CSV: Final = "save the sheet as CSV (UTF-8)"
_UNPACK: Final = "unpack it first"
_EXPORT: Final = "write the table as CSV"

_BY_HEAD: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook or another Office file", _AS_CSV),
    (b"%PDF-", "a PDF", "take the table from its source, as CSV"),
    (b"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (b"\x93NUMPY", "a NumPy array", _EXPORT),
    (b"\x89HDF\r\n", "an HDF5 file", _EXPORT),
    (b"ARROW1\x00\x00", "an Arrow (Feather) file", f"{_EXPORT} or Parquet"),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it first (`zstd -d`)"),
    (b"\x04\x22\x4d\x18", "packed by lz4", "unpack it first (`lz4 -d`)"),
    (b"\x1f\x9d", "packed by compress", "unpack it first (`uncompress`)"),
    (b"\x1f\xa0", "packed by compress", "unpack it first (`uncompress`)"),
    (b"LZIP\x01", "packed by lzip", "unpack it first (`lzip -d`)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"{\\rtf", "a text with formatting (RTF)", "save it as plain text, as CSV"),
    (b"\x89PNG\r\n", "an image", _EXPORT),
    (b"\xff\xd8\xff", "an image", _EXPORT),
    (b"\x7fELF", "a program", _EXPORT),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", _EXPORT),
    (b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS, not the file itself", "run `git lfs pull`"),
)
_MARKUP: Final = re.compile(rb"\s*<[a-zA-Z!?]")
_TAR_AT, _TAR = 257, b"ustar"
_BOM: Final = b"\xef\xbb\xbf"

_OFFICE: Final = (("xl/", "an Excel workbook"), ("word/", "a Word document"), ("ppt/", "a PowerPoint file"))


def refuse_foreign(path: Path, head: bytes) -> None:
    """Raise InputError where a file begins as one that is no text, or no table."""
    for magic, words, cure in _BY_HEAD:
        if head.startswith(magic):
            raise InputError(f"{path}: is {words}: {cure}")
    if head[_TAR_AT:].startswith(_TAR):
        raise InputError(f"{path}: is a tar archive: {_UNPACK}")
    is_pickle = head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}
    if is_pickle:
        raise InputError(f"{path}: is a pickle of Python, which nothing here opens: {_EXPORT}")
    if _MARKUP.match(head.removeprefix(_BOM)):
        raise InputError(f"{path}: is a page of HTML or XML (of a failed download?): get the table itself, as CSV")


def office_format(archive: zipfile.ZipFile, names: Sequence[str]) -> str | None:
    """What a zip archive is where it is no mere archive, with the cure."""
    for folder, words in _OFFICE:
        if "[Content_Types].xml" in names and any(name.startswith(folder) for name in names):
            return f"is {words}: {_AS_CSV}"
    if "mimetype" in names and archive.getinfo("mimetype").file_size < HEAD_BYTES:
        kind = archive.read("mimetype").decode("ascii", "replace")
        if "opendocument" in kind:
            return f"is an OpenDocument file ({kind}): {_AS_CSV}"
    if names and all(name.endswith(".npy") for name in names):
        return f"is a file of NumPy arrays: {_EXPORT}"
    return None
