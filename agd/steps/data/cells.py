"""What the readers of tables share: names of columns, the cells that are wanted, and how they are shown."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TypeAlias

from agd.errors import InputError
from agd.registry import suggestion

MAX_CELL: Final = 1000
"""Characters of a formula or a value at most."""

_SHOWN: Final = 200
_NAMES_SHOWN: Final = 20
_UNDECODED: Final = re.compile("[\udc80-\udcff]")


class Broken(NamedTuple):
    """A line that is no row, and why; `value` where it has one."""

    line: int
    text: str
    why: str
    kind: str = "broken row"
    value: str = ""


Row: TypeAlias = tuple[int, Sequence[str]]
"""The line where a row begins, and its wanted cells in the order they were asked for."""

Line: TypeAlias = Row | Broken

Where: TypeAlias = Mapping[str, str]
"""The text that columns must hold, exactly, in the rows that are wanted."""


def normalised(name: str) -> str:
    """The name of a column in its one form: what looks the same is the same (NFC), without spaces around it."""
    return name.strip() if name.isascii() else unicodedata.normalize("NFC", name).strip()


def shown(text: str, most: int = _SHOWN) -> str:
    """A text as a message can hold it: no half characters, and not all of a long one."""
    part = text[:most].encode("utf-8", "backslashreplace").decode()
    return part if len(text) <= most else f"{part}... ({len(text):,} characters)"


def hint(missing: str, names: Sequence[str]) -> str:
    """The end of a message about a column that is not there."""
    some = [shown(name, 40) for name in names if name.strip()]
    if len(some) <= _NAMES_SHOWN:
        return suggestion(missing, some)
    near = suggestion(missing, some[:1000])
    if "did you mean" in near:
        return near
    return f": there is {', '.join(some[:_NAMES_SHOWN])} and {len(some) - _NAMES_SHOWN:,} more"


@dataclass(slots=True)
class Selection:
    """The columns that are asked for, the rows that are wanted, and how many were not.

    What other columns hold is nobody's concern; a JSON object may lack a column that others have.
    """

    path: Path
    columns: tuple[str, ...]
    where: Where = field(default_factory=dict)
    n_left_out: int = 0
    n_wanted: int = 0
    _is_seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Bring all names into one form."""
        self.columns = tuple(map(normalised, self.columns))
        self.where = {normalised(column): value for column, value in self.where.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read: those asked for, then those of the conditions."""
        return (*self.columns, *self.where)

    def is_wanted(self, cells: Sequence[str | None]) -> bool:
        """Whether the cells of the conditions hold what they must."""
        fits = True
        for (column, value), cell in zip(self.where.items(), cells, strict=True):
            if cell is None:
                fits = False
                continue
            self._is_seen.add(column)
            is_same = cell == value or (
                not value.isascii() and unicodedata.normalize("NFC", cell) == unicodedata.normalize("NFC", value)
            )
            fits = fits and is_same
        self.n_wanted += fits
        self.n_left_out += not fits
        return fits

    def require_found(self, names: Iterable[str]) -> None:
        """Raise InputError where a column of the conditions is in no row, or no row meets them."""
        if self.n_left_out + self.n_wanted == 0:
            return
        for column in self.where:
            if column not in self._is_seen:
                raise InputError(f"{self.path}: no column {column!r}{hint(column, list(names))}")
        if not self.n_wanted:
            words = " and ".join(f"{column} = {value!r}" for column, value in self.where.items())
            raise InputError(f"{self.path}: no row has {words} ({self.n_left_out:,} rows read)")

    def doubt(self, line: int, cells: Sequence[str]) -> Broken | None:
        """Why wanted cells, long or not all ASCII, cannot be taken; None where they can.

        Raises:
            InputError: a byte of them is no UTF-8: the file was written in another encoding.
        """
        for column, cell in zip(self.names, cells, strict=False):
            if (found := _UNDECODED.search(cell)) is not None:
                not_utf8(self.path, line, found[0])
            if len(cell) > MAX_CELL:
                return Broken(line, shown(cells[0]), f"{column!r} has {len(cell):,} characters, {MAX_CELL:,} at most")
        return None


def first_undecoded(text: str) -> str | None:
    """The first character that stands for a byte which is no UTF-8."""
    found = None if text.isascii() else _UNDECODED.search(text)
    return None if found is None else found[0]


def not_utf8(path: Path, line: int, character: str) -> NoReturn:
    """Raise the InputError about a byte that is no UTF-8."""
    raise InputError(
        f"{path}:{line}: byte {ord(character) - 0xDC00:#04x} is not UTF-8 (Latin-1, or an old Windows file?): "
        "save the file as UTF-8 and import it again"
    )
