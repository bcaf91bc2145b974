"""What a file says of a crystal, as the row that is kept: keys are read, cells made canonical, in several processes."""

import json
import math
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from agd.chem.elements import SYMBOLS
from agd.chem.grammar import UnreadableError, read_formula
from agd.chem.structures import canonical, lattice_from_parameters, numbers_of
from agd.errors import InputError
from agd.plausible import implausible
from agd.steps.data.cells import shown
from agd.steps.data.cleaning import Reject
from agd.types import Floats, Structure

LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "formation_energy": ("e_form", "e_form_ev_per_atom", "formation_energy", "formation_energy_per_atom"),
    "band_gap": ("band_gap", "band_gap_ev"),
}
"""By property the keys that its value goes by: eV per atom, and eV."""

_NAMES: Final = ("id", "material_id", "entry_id", "name")
_MADE: Final = ("icsd", "is_experimental")
_BATCH: Final = 500
_WORTH_PROCESSES: Final = 2_000
"""From so many crystals on other processes are started, which takes a second."""

_AHEAD: Final = 3
"""Batches for each process that are read before the first one is waited for."""

_ELEMENTS: Final = frozenset(SYMBOLS)
_MANY_DIGITS: Final = 19
_MAX_SITES: Final = 10_000
_MAX_NAME: Final = 200


class Cif(str):
    """The text of a block of CIF."""

    __slots__ = ()


class _Ambiguous(dict[str, Any]):
    """A JSON object with a key that stands twice."""

    twice: str


def read_json(text: str) -> Any:
    """As `json.loads`, but keys that stand twice are not lost, and no number has too many digits."""
    return json.loads(text, object_pairs_hook=_object, parse_int=_whole)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    found, keys = _Ambiguous(fields), [key for key, _ in pairs]
    found.twice = next(key for key in fields if keys.count(key) > 1)
    return found


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _MANY_DIGITS else float(digits)


class Raw(NamedTuple):
    """A crystal as it stands in a file: JSON or CIF as text, or an object that was read already.

    `line` is counted through all files, `where` names the file and its line or entry.
    """

    line: int
    where: str
    content: str | Mapping[str, Any]


class Entry(NamedTuple):
    """A crystal that can be kept: its name, its canonical cell as the columns hold it, and what is known of it.

    `amounts` are (atomic number, atoms) of the cell; `values` follow `LABELS`.
    """

    line: int
    name: str
    formula: str
    amounts: tuple[tuple[int, int], ...]
    cell_sha256: str
    space_group: int
    lattice: str
    atomic_numbers: str
    frac: str
    is_experimental: bool | None
    values: tuple[float | None, ...]


Read: TypeAlias = Entry | Reject
LabelsWhere: TypeAlias = Mapping[str, Sequence[str]]
"""Of which crystals the labels are taken: by key the values that will do; of others only the structure is."""


def parse_labels_where(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Conditions as they are given on the command line, `label_src=id`; values of one key add up. Raises InputError."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--labels-where {pair}: write KEY=VALUE, for instance --labels-where label_src=id")
        found[key.strip()] = tuple(dict.fromkeys((*found.get(key.strip(), ()), value)))
    return found


class _RefusedError(Exception):
    """Why a crystal is not kept: kind, value and message."""


def entries(
    raws: Iterator[Raw], labels_where: LabelsWhere | None = None, *, n_processes: int | None = None
) -> Iterator[Read]:
    """Read every crystal, in order; many of them in as many processes as there are cores for this one."""
    first = list(islice(raws, _WORTH_PROCESSES))
    if len(first) < _WORTH_PROCESSES or n_processes == 1:
        for batch in _batches(iter(first), raws):
            yield from read_batch(batch, labels_where)
        return
    n = n_processes or _n_cores()
    # Started anew, for a fork would take along the threads that renew the lease.
    pool = ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"))
    waiting: deque[Future[list[Read]]] = deque()
    try:
        for batch in _batches(iter(first), raws):
            waiting.append(pool.submit(read_batch, batch, labels_where))
            if len(waiting) > _AHEAD * n:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_batch(raws: Sequence[Raw], labels_where: LabelsWhere | None = None) -> list[Read]:
    """Read some crystals, in order."""
    return [_read(raw, labels_where or {}) for raw in raws]


def _batches(*sources: Iterator[Raw]) -> Iterator[list[Raw]]:
    for source in sources:
        while batch := list(islice(source, _BATCH)):
            yield batch


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(raw: Raw, labels_where: LabelsWhere) -> Read:
    name = formula = ""
    try:
        fields = _fields(raw.content)
        name, formula = _name(fields) or raw.where, str(fields.get("formula") or "")
        structure = _structure(fields)
        _require_agreement(fields, structure.species)
        found = canonical(structure)
        values = tuple(_value(fields, property_, keys) for property_, keys in LABELS.items())
        if not all(str(fields.get(key)) in values_ for key, values_ in labels_where.items()):
            values = (None,) * len(LABELS)
        made = _first(fields, _MADE)
    except _RefusedError as error:
        kind, value, message = error.args
        return Reject(raw.line, kind, formula or name, value, f"{raw.where}: {message}")
    except InputError as error:
        return Reject(raw.line, "no crystal", formula or name, "", f"{raw.where}: {error}")
    kept = found.structure
    numbers = numbers_of(kept).tolist()
    return Entry(
        raw.line,
        name,
        formula,
        tuple(sorted(Counter(numbers).items())),
        found.cell_sha256,
        found.space_group,
        _array(kept.lattice.ravel().tolist()),
        _array(numbers),
        _array(kept.frac.ravel().tolist()),
        None if made is None else bool(made),
        values,
    )


def _array(numbers: Sequence[float]) -> str:
    """As PostgreSQL reads an array; written here, where several processes do so."""
    return "{" + ",".join(map(repr, numbers)) + "}"


def _fields(content: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """The keys of a crystal, those of an entry and of what it says beside its structure all in one."""
    if isinstance(content, Cif):
        from agd.steps.structures.formats import read_cif

        return read_cif(content)
    found = content if not isinstance(content, str) else _json(content)
    if not isinstance(found, Mapping):
        raise _RefusedError("broken row", shown(str(found), 60), "not a JSON object")
    inner, more = found.get("structure"), found.get("data")
    for one in (found, inner, more):
        if isinstance(one, _Ambiguous):
            key = shown(one.twice, 60)
            raise _RefusedError("ambiguous", key, f"key {key!r} stands twice: which one counts?")
    if not isinstance(inner, Mapping):
        return found
    return {**inner, **(more if isinstance(more, Mapping) else {}), **found, "lattice": inner.get("lattice")}


def _json(content: str) -> Any:
    try:
        return read_json(content)
    except ValueError as error:
        raise _RefusedError("broken row", shown(content.strip(), 60), f"not valid JSON ({error})") from None
    except RecursionError:
        raise _RefusedError("broken row", "", "nested too deeply to be read") from None


def _name(fields: Mapping[str, Any]) -> str:
    name = str(_first(fields, _NAMES) or "")
    if len(name) > _MAX_NAME:
        raise _RefusedError("long name", shown(name, 60), f"a name of {len(name):,} characters, {_MAX_NAME} at most")
    return name


def _require_agreement(fields: Mapping[str, Any], species: Sequence[str]) -> None:
    """Refuse a crystal whose formula or number of sites is another than that of its sites."""
    said = fields.get("nsites")
    if isinstance(said, int | float) and not isinstance(said, bool) and said != len(species):
        raise _RefusedError("contradiction", str(said), f"key 'nsites': {said:g}, but {len(species)} sites are given")
    formula, amounts = fields.get("formula"), Counter(species)
    if not isinstance(formula, str) or not amounts.keys() <= _ELEMENTS or not (written := _amounts(formula)):
        return
    n_atoms, n_written = len(species), sum(written.values())
    if any(amounts[symbol] * n_written != written[symbol] * n_atoms for symbol in amounts | written):
        sites = "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in amounts.items())
        raise _RefusedError("contradiction", formula, f"key 'formula': {shown(formula, 60)}, but the sites are {sites}")


@lru_cache(maxsize=10_000)
def _amounts(formula: str) -> Counter[str]:
    """Atoms by symbol; nothing if it is no formula that has whole amounts."""
    try:
        return Counter({SYMBOLS[i]: n for i, n in read_formula(formula).items()})
    except UnreadableError:
        return Counter()


def _structure(fields: Mapping[str, Any]) -> Structure:
    lattice = _lattice(_required(fields, "lattice"))
    if isinstance(sites := fields.get("sites"), list):
        species, places = _of_sites(sites)
    else:
        species, places = _species(_required(fields, "species")), _required(fields, "frac")
    frac = _numbers(places, "frac").reshape(-1)
    if frac.size != 3 * len(species):
        raise _RefusedError(
            "no crystal",
            str(frac.size),
            f"key 'frac': {len(species)} sites have {3 * len(species)} numbers, not {frac.size}",
        )
    return Structure(lattice, species, frac.reshape(-1, 3))


def _required(fields: Mapping[str, Any], key: str) -> Any:
    if fields.get(key) is None:
        raise _RefusedError("missing key", "", f"key {key!r} is missing")
    return fields[key]


def _lattice(given: Any) -> Floats:
    matrix = given.get("matrix") if isinstance(given, Mapping) else given
    numbers = _numbers(matrix, "lattice").reshape(-1)
    if numbers.size == 6:  # noqa: PLR2004  lengths and angles
        return lattice_from_parameters(numbers[:3].tolist(), numbers[3:].tolist())
    if numbers.size != 9:  # noqa: PLR2004  three vectors
        raise _RefusedError(
            "no crystal",
            shown(str(given), 60),
            f"key 'lattice': a, b, c, alpha, beta, gamma or three vectors make a lattice, not {numbers.size} numbers",
        )
    return numbers.reshape(3, 3)


def _species(given: Any) -> tuple[str, ...]:
    """Symbols in the order of the sites, one each or run by run as [symbol, how many]."""
    found: list[str] = []
    for one in given if isinstance(given, list | tuple) else [given]:
        match one:
            case str():
                found.append(one)
            case [str() as symbol, int() as n] if 0 < n <= _MAX_SITES:
                found += [symbol] * n
            case _:
                raise _RefusedError(
                    "no crystal",
                    shown(str(one), 60),
                    f"key 'species': {shown(str(one), 60)} is no symbol, and no [symbol, count]",
                )
    return tuple(found)


def _of_sites(sites: Sequence[Any]) -> tuple[tuple[str, ...], list[Any]]:
    """Species and places of sites as pymatgen writes them."""
    species: list[str] = []
    places: list[Any] = []
    for i, site in enumerate(sites, start=1):
        try:
            (one,) = site["species"]
            symbol, share, place = one["element"], float(one["occu"]), site["abc"]
        except (KeyError, TypeError):
            raise _RefusedError("no crystal", "", f"key 'sites': site {i} lacks 'species' or 'abc'") from None
        except ValueError:
            share, symbol, place = 0.0, "", None
        if not math.isclose(share, 1.0, abs_tol=1e-6):
            raise _RefusedError("disordered", "", f"key 'sites': site {i} is of several elements, or partly empty")
        species.append(symbol)
        places.append(place)
    return tuple(species), places


def _numbers(given: Any, key: str) -> Floats:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise _RefusedError("not a number", shown(str(given), 60), f"key {key!r}: not a list of numbers") from None


def _value(fields: Mapping[str, Any], property_: str, keys: Iterable[str]) -> float | None:
    key = next((key for key in keys if fields.get(key) is not None), None)
    if key is None:
        return None
    given = fields[key]
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        raise _RefusedError(
            "not a number", shown(str(given), 60), f"key {key!r}: {shown(str(given), 60)} is not a number"
        ) from None
    if not math.isfinite(value):
        raise _RefusedError("not finite", str(given), f"key {key!r}: {given} is not a finite number")
    if (why := implausible(value, property_)) is not None:
        raise _RefusedError(
            "implausible",
            str(given),
            f"key {key!r}: {given} {why}: a placeholder for a missing value, or another unit?",
        )
    if property_ == "band_gap" and value < 0:
        raise _RefusedError("negative", str(given), f"key {key!r}: {given} is below 0, and no gap is")
    return value


def _first(fields: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((fields[key] for key in keys if fields.get(key) is not None), None)
