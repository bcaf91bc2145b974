"""What a target comes to: lines of ours beside the paper's, figures, and words that explain the difference."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any, Self, TypeAlias

from agd.report.drawing import Draw


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its standard deviation over `n` repeats; None where it is not known."""

    value: float
    sd: float | None = None
    n: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> Self | None:
        """Mean and standard deviation of repeats, None of none."""
        if not values:
            return None
        return cls(mean(values), stdev(values) if len(values) > 1 else None, len(values))

    def text(self, decimals: int) -> str:
        """0.735 ± 0.021, on one line."""
        said = f"{self.value:,.{decimals}f}"
        return said if self.sd is None else f"{said}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{self.sd:,.{decimals}f}"


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity of one row: ours, the paper's, and rows of the record that ours stands on."""

    row: str
    quantity: str
    ours: Figure | None
    paper: Figure | None = None
    decimals: int = 3
    note: str = ""
    rests_on: Sequence[str] = ()

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        if self.ours is None or self.paper is None:
            return None
        return self.ours.value - self.paper.value

    def told(self) -> dict[str, Any]:
        """Plain values, one of them a column."""
        return {
            "row": self.row,
            "quantity": self.quantity,
            **_spread("ours", self.ours),
            **_spread("paper", self.paper),
            "difference": self.difference,
            "note": self.note,
            "rests_on": list(self.rests_on),
        }


@dataclass(frozen=True, slots=True)
class Compared:
    """A table of lines: rows by quantities."""

    title: str
    lines: Sequence[Line]
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A plain table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure."""

    name: str
    says: str
    draw: Draw
    caption: str
    size: tuple[float, float] = (6.6, 3.4)


@dataclass(frozen=True, slots=True)
class Words:
    """Paragraphs under a title."""

    title: str
    paragraphs: Sequence[str]


Part: TypeAlias = Compared | Listed | Drawing | Words


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of a target."""

    target: str
    title: str
    lead: str
    parts: Sequence[Part]

    def told(self) -> dict[str, Any]:
        """As JSON: what the page shows, without the drawings."""
        return {
            "target": self.target,
            "title": self.title,
            "lead": self.lead,
            "tables": [
                {"title": part.title, "lines": [line.told() for line in part.lines], "words": list(part.words)}
                for part in self.parts
                if isinstance(part, Compared)
            ],
            "lists": [asdict(part) for part in self.parts if isinstance(part, Listed)],
            "words": [asdict(part) for part in self.parts if isinstance(part, Words)],
            "figures": [
                {"name": part.name, "says": part.says, "caption": part.caption}
                for part in self.parts
                if isinstance(part, Drawing)
            ],
        }


def rows_and_quantities(lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """The rows and the quantities of a table, in the order in which they first come."""
    return list(dict.fromkeys(line.row for line in lines)), list(dict.fromkeys(line.quantity for line in lines))


def _spread(name: str, figure: Figure | None) -> dict[str, float | int | None]:
    if figure is None or not math.isfinite(figure.value):
        return {name: None, f"{name}_sd": None, f"{name}_n": None}
    return {name: figure.value, f"{name}_sd": figure.sd, f"{name}_n": figure.n}
