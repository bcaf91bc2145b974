"""Tables that a visitor sorts, filters, pages through and takes away: what an address asks for, and what is shown.

An address says `sort=value`, `desc=1`, `page=3` and, for a column, what it must be: `f.value=>6`, `f.value=2..4`,
`f.reduced_formula=SrF`, `f.is_find=yes`.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, urlencode

from agd.db.connection import Transaction
from agd.db.reading import listings
from agd.db.reading.listings import Condition, Kind, Listing, Wanted
from agd.errors import InputError
from agd.views import of_rows

MOST_ROWS: Final = 200_000
"""Of a file; of more, `agd export` makes one."""

_MOST_PAGES: Final = 10_000
_LONGEST_FILTER: Final = 100
_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_COMPARED: Final = re.compile(rf"(>=|<=|>|<|=)?\s*({_NUMBER})", re.ASCII)
_BETWEEN: Final = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})", re.ASCII)
_COMPARE: Final = {
    "=": operator.eq,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TRUTH: Final = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the field of a row, its title, what may be asked of it, how it is shown, and where a cell leads to.

    `link` is an address with fields of the row in braces; `kind` None is a column that is only looked at.
    """

    name: str
    title: str
    kind: Kind | None = "text"
    style: str = ""
    link: str = ""

    def address(self, row: Any) -> str | None:
        """Where the cell of a row leads to."""
        if not self.link or getattr(row, self.name) is None:
            return None
        found = {name: getattr(row, name) for name in re.findall(r"{(\w+)}", self.link)}
        if None in found.values():
            return None
        return self.link.format(**{name: quote(str(value), safe="") for name, value in found.items()})


@dataclass(frozen=True, slots=True)
class Source:
    """What gives the rows of a table: those of a page, one more where others follow; or all, wherever a page begins."""

    page: Callable[[Wanted], Sequence[Any]]
    every: Callable[[Wanted], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """One page of a table as it is shown; `path` is its address without what was asked for."""

    path: str
    columns: Sequence[Column]
    rows: Sequence[Any]
    wanted: Wanted
    given: Mapping[str, str]
    has_more: bool
    mistake: str | None = None
    is_live: bool = False
    searched: str | None = None

    @property
    def page(self) -> int:
        """Its number, from 1."""
        return self.wanted.offset // self.wanted.n + 1

    @property
    def first(self) -> int:
        """The place of its first row in the whole table."""
        return self.wanted.offset + 1

    @property
    def last(self) -> int:
        """The place of its last row."""
        return self.wanted.offset + len(self.rows)

    @property
    def is_filtered(self) -> bool:
        """Whether anything was asked of the rows."""
        return bool(self.given)

    def filter_of(self, column: Column) -> str:
        """What was asked of a column, as it was written."""
        return self.given.get(column.name, "")

    def address(self, *, page: int | None = None, as_: str | None = None) -> str:
        """This table at another page, or as a file."""
        return self._address(self.wanted.sort, self.wanted.is_descending, page or 1, as_)

    def sorted_by(self, column: Column) -> str:
        """This table ordered by a column, the other way round where it is so already; numbers from the highest."""
        is_same = column.name == self.wanted.sort
        is_descending = not self.wanted.is_descending if is_same else column.kind != "text"
        return self._address(column.name, is_descending, 1, None)

    def bare(self) -> str:
        """This table with nothing asked of its rows."""
        return f"{self.path}?{urlencode(self._order(self.wanted.sort, self.wanted.is_descending))}"

    def here(self) -> str:
        """This table as it is."""
        return self.address(page=self.page)

    def _address(self, sort: str, is_descending: bool, page: int, as_: str | None) -> str:  # noqa: FBT001
        asked = self._order(sort, is_descending) | {f"f.{name}": value for name, value in self.given.items()}
        if page > 1:
            asked["page"] = str(page)
        if as_ is not None:
            asked["as"] = as_
        return f"{self.path}?{urlencode(asked)}"

    def _order(self, sort: str, is_descending: bool) -> dict[str, str]:  # noqa: FBT001
        searched = {} if self.searched is None else {"q": self.searched}
        return searched | {"sort": sort, "desc": "1" if is_descending else "0"}


def asked(query: Mapping[str, str], columns: Sequence[Column], standard: Wanted) -> tuple[Wanted, dict[str, str]]:
    """What an address asks for, in the order of `standard` where it says none; and its filters as they were written.

    Raises:
        InputError: a column is not there, or what is asked of one cannot be.
    """
    by_name = {column.name: column for column in columns if column.kind is not None}
    given = {key[2:]: value.strip() for key, value in query.items() if key.startswith("f.") and value.strip()}
    conditions: list[Condition] = []
    for name, words in given.items():
        if name not in by_name:
            raise InputError(f"there is no column {name!r:.60} to filter by")
        conditions += _conditions(by_name[name], words)
    sort = query.get("sort", standard.sort)
    if sort not in by_name:
        raise InputError(f"there is no column {sort!r:.60} to sort by")
    is_descending = query["desc"] == "1" if "desc" in query else standard.is_descending
    page = query.get("page", "1")
    if not re.fullmatch(r"[0-9]{1,6}", page) or not 1 <= int(page) <= _MOST_PAGES:
        raise InputError(f"page {page!r:.60} is no number from 1 to {_MOST_PAGES:,}: filter, or download the rows")
    conditions = [*standard.conditions, *conditions]
    return Wanted(sort, is_descending, conditions, standard.n, (int(page) - 1) * standard.n), given


def _conditions(column: Column, words: str) -> list[Condition]:
    if len(words) > _LONGEST_FILTER or not words.isprintable():
        raise InputError(f"what is asked of {column.title} is too long, or cannot be read")
    if column.kind == "bool":
        if words not in _TRUTH:
            raise InputError(f"{column.title} is yes or no, not {words!r}")
        return [Condition(column.name, "is", _TRUTH[words])]
    if column.kind == "number":
        if (between := _BETWEEN.fullmatch(words)) is not None:
            low, high = between.groups()
            return [Condition(column.name, ">=", float(low)), Condition(column.name, "<=", float(high))]
        if (found := _COMPARED.fullmatch(words)) is None:
            raise InputError(f"{column.title}: write >6, <=2.5, 3 or 2..4, not {words!r}")
        return [Condition(column.name, found[1] or "=", float(found[2]))]  # type: ignore[arg-type]  # one of its signs
    if column.kind == "time":
        raise InputError(f"{column.title} can be sorted by, and not filtered")
    return [Condition(column.name, "contains", words)]


def of_listing(tx: Transaction, listing: Listing, scope: Mapping[str, object], view: type[Any]) -> Source:
    """The rows of a listing of the record, as views."""
    return Source(
        lambda wanted: of_rows(view, listings.page(tx, listing, scope, wanted)),
        lambda wanted: listings.every(tx, listing, scope, wanted, MOST_ROWS),
    )


def of_values(rows: Sequence[Any]) -> Source:
    """The same of rows that are few, and at hand."""

    def every(wanted: Wanted) -> list[Any]:
        kept = [row for row in rows if all(_meets(getattr(row, one.column), one) for one in wanted.conditions)]
        there = [row for row in kept if getattr(row, wanted.sort) is not None]
        there.sort(key=lambda row: _sort_key(getattr(row, wanted.sort)), reverse=wanted.is_descending)
        return there + [row for row in kept if getattr(row, wanted.sort) is None]

    return Source(lambda wanted: every(wanted)[wanted.offset : wanted.offset + wanted.n + 1], every)


def table(path: str, columns: Sequence[Column], query: Mapping[str, str], standard: Wanted, source: Source) -> Table:
    """The page of a table that an address asks for; the first with a word on the mistake where it asks nonsense."""
    mistake = None
    try:
        wanted, given = asked(query, columns, standard)
    except InputError as error:
        written = {f"f.{column.name}": column.name for column in columns}
        mistake, wanted = str(error), standard
        given = {written[key]: value[:_LONGEST_FILTER] for key, value in query.items() if value and key in written}
    rows = source.page(wanted)
    has_more = len(rows) > wanted.n
    return Table(path, columns, rows[: wanted.n], wanted, given, has_more, mistake, searched=query.get("q"))


def live(made: Table) -> Table:
    """The same, looked for again as long as it is looked at."""
    return replace(made, is_live=True)


def _sort_key(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _meets(value: Any, condition: Condition) -> bool:
    wanted: Any = condition.value
    if condition.operator == "contains":
        return value is not None and str(wanted).casefold() in str(value).casefold()
    if condition.operator == "is":
        return bool(value) is condition.value
    return isinstance(value, int | float | Decimal) and bool(_COMPARE[condition.operator](value, wanted))
