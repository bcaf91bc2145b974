"""Crystals from a provider of OPTIMADE (10.1039/D4DD00039K), page by page into a file of JSON lines."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import numpy as np

from agd.errors import InputError
from agd.progress import Progress, silent
from agd.steps.data.cells import shown

_FIELDS: Final = (
    "chemical_formula_reduced",
    "nsites",
    "dimension_types",
    "lattice_vectors",
    "cartesian_site_positions",
    "species_at_sites",
    "species",
)
_PAGE: Final = 100
_TIMEOUT_S: Final = 60.0
_PAUSES_S: Final = (1.0, 5.0, 15.0)
_MOST_BYTES: Final = 2**28
"""Of one page."""

_BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class OptimadeQuery:
    """What is asked for: the base address of a provider, a filter, and which of its fields are energy and gap.

    `formation_energy` is in eV/atom and `band_gap` in eV, by the provider's own names, such as `_odbx_thermodynamics`.
    """

    url: str
    filter: str = ""
    formation_energy: str | None = None
    band_gap: str | None = None
    limit: int | None = None

    @property
    def source(self) -> str:
        """The words under which it is kept."""
        return f"{self.url}?filter={self.filter}" if self.filter else self.url


def fetch(query: OptimadeQuery, path: Path, progress: Progress = silent) -> int:
    """Write the structures that a provider answers with into a file, one a line; how many there are.

    Raises:
        InputError: the address is none, nobody answers, or the answer is an error or not OPTIMADE.
    """
    started, n = time.monotonic(), 0
    with path.open("w", encoding="utf-8") as file:
        for found, n_all in _structures(query):
            file.write(json.dumps(_row(found, query)) + "\n")
            n += 1
            if n % _PAGE == 0:
                whole = max(n, min(n_all or n, query.limit or n_all or n))
                left_s = (time.monotonic() - started) * (whole - n) / n
                progress(n, whole, f"{n:,} structures fetched, about {left_s:.0f} s left")
    if not n:
        raise InputError(f"{query.source}: no structure answers that")
    return n


def _structures(query: OptimadeQuery) -> Iterator[tuple[Mapping[str, Any], int | None]]:
    wanted = [*_FIELDS, *(one for one in (query.formation_energy, query.band_gap) if one)]
    page = min(_PAGE, query.limit or _PAGE)
    words = {"response_fields": ",".join(wanted), "page_limit": str(page)} | (
        {"filter": query.filter} if query.filter else {}
    )
    address: str | None = f"{_base(query.url)}/structures?{urlencode(words)}"
    seen, n = set(), 0
    while address is not None:
        if address in seen:
            raise InputError(f"{query.url}: its pages lead back to {shown(address, 100)}")
        seen.add(address)
        answer = _answer(address)
        data, meta = answer.get("data"), answer.get("meta")
        if not isinstance(data, list):
            raise InputError(f"{query.url}: the answer is not one of OPTIMADE: it has no list 'data'")
        n_all = meta.get("data_returned") if isinstance(meta, Mapping) else None
        for one in data:
            if not isinstance(one, Mapping) or not isinstance(one.get("attributes"), Mapping):
                raise InputError(f"{query.url}: the answer is not one of OPTIMADE: an entry has no 'attributes'")
            yield one, n_all if isinstance(n_all, int) else None
            n += 1
            if n == query.limit:
                return
        address = _next(answer) if data else None


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise InputError(f"{url}: is no address of a provider: one such as https://optimade.materialsproject.org")
    if parts.query or parts.fragment:
        raise InputError(f"{url}: give the address before '?', and what is wanted as --filter")
    whole = url.rstrip("/").removesuffix("/structures")
    return whole if whole.rsplit("/", 1)[-1].startswith("v1") else f"{whole}/v1"


def _next(answer: Mapping[str, Any]) -> str | None:
    links = answer.get("links")
    following = links.get("next") if isinstance(links, Mapping) else None
    found = following.get("href") if isinstance(following, Mapping) else following
    if found is None:
        return None
    if not isinstance(found, str) or urlsplit(found).scheme not in {"http", "https"}:
        raise InputError(f"{shown(str(found), 100)}: is no address of a next page")
    return found


def _answer(address: str) -> Mapping[str, Any]:
    """An answer as JSON; a provider that is busy is asked again."""
    asked = Request(address, headers={"Accept": "application/json", "User-Agent": "agd"})  # noqa: S310  http, by _base
    for pause_s in (*_PAUSES_S, None):
        try:
            with urlopen(asked, timeout=_TIMEOUT_S) as response:  # noqa: S310  same
                content = response.read(_MOST_BYTES + 1)
        except HTTPError as error:
            if error.code not in _BUSY or pause_s is None:
                raise InputError(f"{_place(address)}: {_said(error)}") from None
        except (URLError, OSError) as error:
            if pause_s is None or not isinstance(getattr(error, "reason", error), TimeoutError | ConnectionResetError):
                raise InputError(f"{_place(address)}: does not answer ({getattr(error, 'reason', error)})") from None
        else:
            break
        time.sleep(pause_s)
    if len(content) > _MOST_BYTES:
        raise InputError(f"{_place(address)}: an answer of more than {_MOST_BYTES:,} bytes")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{_place(address)}: the answer is not JSON: is it the address of a provider?") from None
    if not isinstance(found, Mapping):
        raise InputError(f"{_place(address)}: the answer is not one of OPTIMADE")
    return found


def _said(error: HTTPError) -> str:
    """What a provider says is wrong."""
    try:
        words = json.loads(error.read(2**16))["errors"][0]["detail"]
    except (ValueError, LookupError, TypeError, OSError):
        words = error.reason
    return f"answers {error.code}: {shown(str(words), 300)}"


def _place(address: str) -> str:
    return address.partition("?")[0]


def _row(found: Mapping[str, Any], query: OptimadeQuery) -> dict[str, Any]:
    """A structure with the keys that imports read; what is missing is left out, for the import to name it."""
    has = found["attributes"]
    row: dict[str, Any] = {"id": str(found.get("id"))}
    for key, name in (
        ("formula", "chemical_formula_reduced"),
        ("e_form", query.formation_energy),
        ("band_gap", query.band_gap),
    ):
        if name is not None and has.get(name) is not None:
            row[key] = has[name]
    if has.get("dimension_types") not in (None, [1, 1, 1]):
        return row
    try:
        lattice = np.array(has["lattice_vectors"], dtype=np.float64).reshape(3, 3)
        places = np.array(has["cartesian_site_positions"], dtype=np.float64).reshape(-1, 3) @ np.linalg.inv(lattice)
        kinds = {one["name"]: _occupation(one) for one in has["species"]}
        species = [kinds[name] for name in has["species_at_sites"]]
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
        return row
    sites = [{"species": one, "abc": place} for one, place in zip(species, places.tolist(), strict=False)]
    return row | {"lattice": {"matrix": lattice.tolist()}, "sites": sites, "nsites": len(places)}


def _occupation(species: Mapping[str, Any]) -> list[dict[str, Any]]:
    shares = zip(species["chemical_symbols"], species["concentration"], strict=True)
    return [{"element": symbol, "occu": share} for symbol, share in shares]
