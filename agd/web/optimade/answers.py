"""What other programs are answered, at /optimade."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import agd
from agd.chem.elements import SYMBOLS
from agd.db.reading import crystals
from agd.db.reading.crystals import Compare
from agd.errors import AgdError, BusyError, DatabaseError, InputError, NotFoundError
from agd.web.optimade.fields import FIELDS, NOT_HELD, Field, attributes_of
from agd.web.optimade.filters import NotMadeError, asked_by
from agd.web.site import query_of, site_of

API_VERSION: Final = "1.2.0"
_SCHEMA: Final = "https://schemas.optimade.org/openapi/v1.2/optimade.json"
_BASE: Final = "/optimade"
_PAGE: Final = 20
_LARGEST_PAGE: Final = 500
_FARTHEST: Final = 10_000_000


class _VersionError(AgdError):
    """Another version of the API was asked for."""


_KNOWN: Final = frozenset(
    {"filter", "response_format", "email_address", "response_fields", "sort", "page_limit", "page_offset",
     "page_number", "include", "api_hint"}
)  # fmt: skip
_STATUS: Final = (
    (_VersionError, 553),
    (NotMadeError, 501),
    (NotFoundError, 404),
    (InputError, 400),
    (BusyError, 503),
    (DatabaseError, 503),
)
_TITLES: Final = {400: "Bad Request", 404: "Not Found", 500: "Internal Server Error", 501: "Not Implemented",
                  503: "Service Unavailable", 553: "Version Not Supported"}  # fmt: skip


def routes() -> list[Route]:
    """The addresses, with the version and, for the versions themselves, without."""
    found = [Route(f"{_BASE}/versions", _versions)]
    for base in (f"{_BASE}/v1", f"{_BASE}/v1.2", f"{_BASE}/v1.2.0", _BASE):
        found += [
            Route(f"{base}/info", _answer(_info)),
            Route(f"{base}/info/structures", _answer(_info_of_structures)),
            Route(f"{base}/links", _answer(_links)),
            Route(f"{base}/structures", _answer(_structures)),
            Route(f"{base}/structures/{{id}}", _answer(_structure)),
            Route(f"{base}/{{rest:path}}", _answer(_nothing)),
        ]
    return found


def _answer(ask: Callable[[Request, Mapping[str, str]], dict[str, Any]]) -> Callable[[Request], Response]:
    """An endpoint of what `ask` finds; a mistake is told as the API wants it."""

    def endpoint(request: Request) -> Response:
        try:
            query = _checked(request)
            return _json(request, ask(request, query))
        except AgdError as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
            title = _TITLES[status]
            errors = [{"status": str(status), "title": title, "detail": str(error)}]
            return _json(request, {"errors": errors}, status)

    return endpoint


def _json(request: Request, content: dict[str, Any], status: int = 200) -> JSONResponse:
    asked = re.sub(rf"^{_BASE}(/v[0-9.]+)?", "", request.url.path)
    meta = {
        "query": {"representation": f"{asked}?{request.url.query}" if request.url.query else asked},
        "api_version": API_VERSION,
        "schema": _SCHEMA,
        "more_data_available": False,
        "time_stamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "provider": {"name": "agd", "description": "A record of campaigns for new materials", "prefix": "agd"},
        "implementation": {"name": "agd", "version": agd.__version__},
        **content.pop("meta", {}),
    }
    return JSONResponse({**content, "meta": meta}, status, media_type="application/vnd.api+json")


def _checked(request: Request) -> Mapping[str, str]:
    query = query_of(request)
    unknown = [key for key in query if key not in _KNOWN and not re.fullmatch(r"_[a-z]+_\w+", key)]
    if unknown:
        raise InputError(f"there is no parameter {unknown[0]!r:.60}")
    if query.get("response_format", "json") != "json":
        raise InputError(f"answers are json, not {query['response_format']!r:.60}")
    if query.get("include", "") not in {"", "references"}:
        raise InputError("nothing is included here")
    return query


def _versions(_: Request) -> Response:
    return PlainTextResponse("version\n1\n", media_type="text/csv; header=present")


def _info(request: Request, _: Mapping[str, str]) -> dict[str, Any]:
    url = f"{request.url.scheme}://{request.url.netloc}{_BASE}/v1/"
    attributes = {
        "api_version": API_VERSION,
        "available_api_versions": [{"url": url, "version": API_VERSION}],
        "formats": ["json"],
        "entry_types_by_format": {"json": ["structures"]},
        "available_endpoints": ["info", "links", "structures"],
        "is_index": False,
    }
    return {"data": {"type": "info", "id": "/", "attributes": attributes}}


def _info_of_structures(_: Request, __: Mapping[str, str]) -> dict[str, Any]:
    told = {name: _told(field) for name, field in FIELDS.items()}
    data = {
        "type": "info",
        "id": "structures",
        "formats": ["json"],
        "description": "Primitive cells that were imported, proposed from templates, or relaxed.",
        "properties": told,
        "output_fields_by_format": {"json": list(FIELDS)},
    }
    return {"data": data}


def _told(field: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"description": field.description, "type": field.type, "sortable": field.is_sortable}
    return told | ({} if field.unit is None else {"unit": field.unit})


def _links(_: Request, __: Mapping[str, str]) -> dict[str, Any]:
    attributes = {
        "name": "agd",
        "description": "This record",
        "base_url": None,
        "homepage": None,
        "link_type": "root",
    }
    return {"data": [{"id": "agd", "type": "links", "attributes": attributes}]}


def _structures(request: Request, query: Mapping[str, str]) -> dict[str, Any]:
    asked, fields = asked_by(query.get("filter", "")), _fields(query)
    limit = _whole(query, "page_limit", _PAGE, _LARGEST_PAGE)
    offset = _whole(query, "page_offset", 0, _FARTHEST)
    if "page_number" in query:
        offset = (max(1, _whole(query, "page_number", 1, _FARTHEST)) - 1) * limit
    with site_of(request).read() as tx:
        rows = crystals.page(tx, asked, SYMBOLS, sort=_sort(query), n=limit, offset=offset, own=_own(fields))
        n_found = crystals.count(tx, asked, SYMBOLS)
    has_more = len(rows) > limit
    following = None
    if has_more and limit:
        kept = {key: value for key, value in query.items() if key != "page_number"}
        more = urlencode(kept | {"page_offset": str(offset + limit)})
        following = f"{request.url.scheme}://{request.url.netloc}{request.url.path}?{more}"
    meta: dict[str, Any] = {"more_data_available": has_more}
    if n_found is not None:
        meta["data_returned"] = n_found
    data = [_entry(row, fields) for row in rows[:limit]]
    return {"data": data, "links": {"next": following}, "meta": meta}


def _structure(request: Request, query: Mapping[str, str]) -> dict[str, Any]:
    fields, number = _fields(query), request.path_params["id"]
    if "filter" in query:
        raise InputError("one structure is not filtered")
    with site_of(request).read() as tx:
        rows = crystals.page(tx, Compare("id", "=", number), SYMBOLS, sort=[], n=1, offset=0, own=_own(fields))
    data = _entry(rows[0], fields) if rows else None
    return {"data": data, "links": {"next": None}, "meta": {"data_returned": len(rows)}}


def _nothing(request: Request, _: Mapping[str, str]) -> dict[str, Any]:
    if re.match(r"v\d", request.path_params["rest"]):
        raise _VersionError("version 1 of the API is spoken here")
    raise NotFoundError("there is no such endpoint")


def _entry(row: Any, fields: frozenset[str] | None) -> dict[str, Any]:
    attributes = attributes_of(row)
    if fields is not None:
        attributes = {
            name: attributes.get(name) for name in [*attributes, *(fields - set(attributes))] if name in fields
        }
    return {"id": row.id, "type": "structures", "attributes": attributes}


def _fields(query: Mapping[str, str]) -> frozenset[str] | None:
    """The fields that are wanted, None for all; those of other providers are None in every structure."""
    if not query.get("response_fields"):
        return None
    wanted = query["response_fields"].split(",")
    for name in wanted:
        if name not in FIELDS and name not in NOT_HELD and not re.fullmatch(r"_(?!agd_)[a-z]+_\w+", name):
            raise InputError(f"there is no field {name!r:.60}")
    return frozenset(wanted) - {"id", "type"}


def _own(fields: frozenset[str] | None) -> list[str]:
    """The fields of this provider that have to be looked up."""
    return [name for name in FIELDS if name.startswith("_agd_") and (fields is None or name in fields)]


def _sort(query: Mapping[str, str]) -> list[tuple[str, bool]]:
    names = [name for name in query.get("sort", "").split(",") if name]
    found = [(name.removeprefix("-"), name.startswith("-")) for name in names]
    for name, _ in found:
        if name not in FIELDS or not FIELDS[name].is_sortable:
            raise InputError(f"structures cannot be sorted by {name!r:.60}")
    return found


def _whole(query: Mapping[str, str], key: str, standard: int, most: int) -> int:
    given = query.get(key, str(standard))
    if not re.fullmatch(r"[0-9]{1,9}", given) or int(given) > most:
        raise InputError(f"{key} is a number from 0 to {most:,}, not {given!r:.60}")
    return int(given)
