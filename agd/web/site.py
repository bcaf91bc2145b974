"""What every page stands on: the record, the templates, and what was read a moment ago."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

import agd
from agd.db.connection import Transaction
from agd.web import shown
from agd.web.caching import Cache
from agd.work.workspace import Workspace

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Site:
    """The record as a visitor sees it."""

    workspace: Workspace
    templates: Environment
    cache: Cache = field(default_factory=Cache)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One view of the record."""
        with self.workspace.database.read() as tx:
            yield tx

    def kept(self, key: Hashable, good_for_s: float, read: Callable[[Transaction], _Value]) -> _Value:
        """What was read from the record, at most so many seconds ago."""

        def anew() -> _Value:
            with self.read() as tx:
                return read(tx)

        return self.cache.get(key, good_for_s, anew)

    def show(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """A page."""
        return HTMLResponse(self.templates.get_template(template).render(values, site=self), status)


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    found: Site = request.app.state.site
    return found


def query_of(request: Request) -> Mapping[str, str]:
    """What an address asks for."""
    return dict(request.query_params)


def environment() -> Environment:
    """The templates, where every value is escaped."""
    made = Environment(
        loader=PackageLoader("agd.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = shown.FILTERS
    made.filters.update(filters)
    made.globals.update(version=agd.__version__, LINKS=shown.LINKS)
    return made
