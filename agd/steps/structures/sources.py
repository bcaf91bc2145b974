"""Files of crystals: what each holds is told by its content, and read one crystal after the other."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

from agd.errors import InputError
from agd.steps.data.containers import OpenedFile, is_stdin, opened
from agd.steps.structures.entries import Cif, Raw, read_json

_SQLITE: Final = b"SQLite format 3\x00"
_CIF_BLOCK: Final = re.compile(r"^[ \t]*data_(\S*)", re.MULTILINE | re.IGNORECASE)
_MAX_TEXT: Final = 2**28
_KEYS: Final = frozenset({"lattice", "structure", "sites", "species"})
_BLOCK: Final = 2**20

ACCEPTED: Final = "JSON lines, CIF files, databases of ASE and structures or entries of pymatgen as JSON are read"


@dataclass(slots=True)
class Sources:
    """Files of crystals: `name` and `sha256` of all of them, and how far they were read.

    `place` is what refusals name where the file itself is not kept.
    """

    files: Sequence[Path]
    name: str
    sha256: str
    n_bytes: int
    n_bytes_read: int = 0
    place: str = ""
    notices: list[str] = field(default_factory=list)

    def raws(self) -> Iterator[Raw]:
        """Every crystal as it stands, in the order of the files.

        Raises:
            InputError: a file is of no format that is read, or is not whole.
        """
        n_lines, n_before = 0, 0
        for path in self.files:
            found = self._ase(path) if _is_sqlite(path) else self._text(path, n_before)
            last = n_lines
            for line, where, content in found:
                last = n_lines + line
                yield Raw(last, where, content)
            n_lines = last
            n_before += path.stat().st_size if path.is_file() else 0
            self.n_bytes_read = n_before

    def _text(self, path: Path, n_before: int) -> Iterator[Raw]:
        with opened(path) as file:
            if file.parquet is not None:
                raise InputError(f"{path}: is Parquet, which holds no crystals here: {ACCEPTED}")
            lines = file.lines()
            start: list[str] = []
            for line in lines:
                start.append(line)
                if line.strip() and not line.lstrip().startswith("#"):
                    break
            first = start[-1].lstrip() if start else ""
            after = self._counted(file, chain(start, lines), n_before)
            if first.startswith("{") and _is_whole(first):
                yield from _json_lines(self.place or str(path), after)
            elif first.startswith(("{", "[")):
                yield from self._document(path, _gathered(path, after))
            elif _CIF_BLOCK.match(first) or first.startswith(("_", "loop_")):
                yield from _cif(path, _gathered(path, after))
            else:
                raise InputError(f"{path}: holds no crystals that can be read: {ACCEPTED}")

    def _counted(self, file: OpenedFile, lines: Iterator[str], n_before: int) -> Iterator[str]:
        for i, line in enumerate(lines):
            if i % 200 == 0:
                self.n_bytes_read = n_before + file.file.tell()
            yield line

    def _document(self, path: Path, text: str) -> Iterator[Raw]:
        try:
            found = read_json(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{error.lineno}: not valid JSON ({error.msg}, column {error.colno})") from None
        except RecursionError:
            raise InputError(f"{path}: nested too deeply to be read") from None
        if isinstance(found, dict) and {"ids", "nextid"} <= found.keys():
            yield from self._ase(path)
            return
        several = found if isinstance(found, list) else [found] if _KEYS & found.keys() else _named(found)
        for i, content in enumerate(several, start=1):
            yield Raw(i, f"{path}: entry {i}", content)

    def _ase(self, path: Path) -> Iterator[Raw]:
        from agd.steps.structures.formats import ase_rows

        for line, content in ase_rows(path):
            yield Raw(line, f"{path}: row {line}", content)


def find_sources(paths: Sequence[Path]) -> Sources:
    """The files that are meant, those of folders by name; hidden ones in folders are left out.

    Raises:
        InputError: one is not there or cannot be read, a folder holds none, or one is named twice.
    """
    files: list[Path] = []
    for path in paths:
        if is_stdin(path):
            raise InputError("-: crystals are read from files and folders, not from standard input")
        files += _in_folder(path) if path.is_dir() else [path]
    twice = next((path for i, path in enumerate(files) if path in files[:i]), None) if len(files) < _FEW else None
    if twice is not None:
        raise InputError(f"{twice}: is named twice")
    digests, n_bytes = [], 0
    for path in files:
        digest, size = _digest(path)
        digests.append(digest)
        n_bytes += size
    one = paths[0].name or str(paths[0])
    name = one if len(paths) == 1 else f"{one} and {len(paths) - 1} more"
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return Sources(files, name, whole, n_bytes)


_FEW: Final = 1_000


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise InputError(f"{folder}: the folder holds no files")
    return found


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest(), size


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _is_whole(line: str) -> bool:
    """Whether a line is a JSON object, or begins as one line of them does and is broken."""
    try:
        read_json(line)
    except ValueError:
        return len(line.rstrip()) > _CUT_AFTER
    except RecursionError:
        return True
    return True


_CUT_AFTER: Final = 60
"""Characters of a line after which a JSON document that spans lines has been folded by any program."""


def _json_lines(place: str, lines: Iterator[str]) -> Iterator[Raw]:
    for line, content in enumerate(lines, start=1):
        if content and not content.isspace():
            yield Raw(line, f"{place}:{line}", content)


def _named(found: Mapping[str, Any]) -> list[Any]:
    """The crystals of an object that has them by their names."""
    return [{"id": name, **one} if isinstance(one, dict) else one for name, one in found.items()]


def _gathered(path: Path, lines: Iterator[str]) -> str:
    parts, n = [], 0
    for line in lines:
        parts.append(line)
        n += len(line)
        if n > _MAX_TEXT:
            raise InputError(f"{path}: a document of more than {_MAX_TEXT:,} characters: write JSON lines")
    return "".join(parts)


def _cif(path: Path, text: str) -> Iterator[Raw]:
    """The blocks of a CIF file; what holds for all of them stands in no block of its own."""
    starts = [match.start() for match in _CIF_BLOCK.finditer(text)] or [0]
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        block = text[start:stop]
        if "_atom_site_" in block or len(starts) == 1:
            line = text.count("\n", 0, start) + 1
            yield Raw(line, f"{path}:{line}", Cif(block))
