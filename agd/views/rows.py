"""From rows of the record to views, and from views to plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from agd.db.connection import AnyRow

_View = TypeVar("_View", bound="DataclassInstance")


def of_row(view: type[_View], row: "AnyRow", **more: object) -> _View:
    """The view of a row that has its fields as columns, but for those in `more`; other columns are not shown."""
    shown = {field.name for field in fields(view)}
    return view(**{name: value for name, value in row._asdict().items() if name in shown}, **more)


def of_rows(view: type[_View], rows: "Iterable[AnyRow]") -> list[_View]:
    """The views of such rows."""
    return [of_row(view, row) for row in rows]


def as_json(view: "DataclassInstance") -> dict[str, Any]:
    """A view and all that it holds as plain mappings and lists, for JSON and for who wants a dict."""
    return {field.name: plain(getattr(view, field.name)) for field in fields(view)}


def plain(value: Any) -> Any:
    """The same of anything that may hold views; what is none of ours stays as it is."""
    if is_dataclass(value) and not isinstance(value, type):
        return as_json(value)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value
