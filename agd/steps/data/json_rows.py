"""Rows of JSON: an object a line, a list of objects, or objects over several lines.

Numbers are kept as they are written, so that none is too long, too large or too exact to be read.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from agd.errors import InputError
from agd.steps.data.cells import MAX_CELL, Broken, Line, Selection, first_undecoded, hint, normalised, not_utf8, shown

_MAX_DOCUMENT: Final = 2**28
_N_KEYS: Final = 10_000
_normal_key: Final = lru_cache(_N_KEYS)(normalised)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_TOO_DEEP: Final = "nested too deeply to be read"


class _Ambiguous(dict[str, Any]):
    """An object with a key that stands twice."""

    twice: frozenset[str]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    found = _Ambiguous(fields)
    keys = [key for key, _ in pairs]
    found.twice = frozenset(key for key in fields if keys.count(key) > 1)
    return found


_DECODER: Final = json.JSONDecoder(
    parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object, strict=False
)


def is_json(start: str) -> bool:
    """Whether a line that begins as JSON does is JSON: whole, or at least no list of names."""
    return start.lstrip()[:1] in {"{", "["}


def is_whole(line: str) -> bool:
    """Whether a line is a JSON value."""
    try:
        _DECODER.decode(line)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def is_lines(first: str, lines: Iterator[str]) -> tuple[bool, Iterator[str]]:
    """Whether there is an object a line, by the first line and the next that is not blank; and the lines after it."""
    if first.lstrip().startswith("["):
        return False, lines
    try:
        _DECODER.decode(first)
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(first.rstrip()) or error.msg.startswith("Unterminated")
    except RecursionError:
        is_cut = False
    else:
        is_cut = False
    if not is_cut:
        return True, lines
    read: list[str] = []
    for line in lines:
        read.append(line)
        if line.strip():
            return line.lstrip().startswith("{"), chain(read, lines)
    return True, iter(read)


def line_rows(lines: Iterable[str], n_before: int, selection: Selection) -> Iterator[Line]:
    """The wanted rows, one object a line, and every line that is none."""
    names: dict[str, None] = {}
    for line, content in enumerate(lines, start=n_before + 1):
        if not content or content.isspace():
            continue
        try:
            value = _DECODER.decode(content)
        except json.JSONDecodeError as error:
            column = min(error.pos, len(content.rstrip())) + 1
            yield Broken(line, shown(content.strip()), f"not valid JSON ({error.msg}, column {column})")
            continue
        except RecursionError:
            yield Broken(line, shown(content.strip()), _TOO_DEEP)
            continue
        if (row := _row(line, value, selection, names, content)) is not None:
            yield row
    selection.require_found(names)


def document_rows(path: Path, text: Iterator[str], n_before: int, selection: Selection) -> Iterator[Line]:
    """The wanted rows of objects that span lines, or of a list of objects.

    Raises:
        InputError: it is not valid JSON: where the next object begins cannot be told.
    """
    names: dict[str, None] = {}
    for line, value, content in _values(path, _gathered(path, text), n_before):
        if (row := _row(line, value, selection, names, content)) is not None:
            yield row
    selection.require_found(names)


def keys_of_first(path: Path, lines: Iterator[str], first: str) -> list[str]:
    """The keys of the first object; none where there is none."""
    by_line, lines = is_lines(first, lines)
    every = chain([first], lines)
    if by_line:
        values: Iterator[Any] = (_decoded(line) for line in every)
    else:
        values = (value for _, value, _ in _values(path, _gathered(path, every), 0))
    return next((list(map(normalised, value)) for value in values if isinstance(value, dict)), [])


def _decoded(line: str) -> Any:
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError):
        return None


def _gathered(path: Path, lines: Iterable[str]) -> str:
    parts, n = [], 0
    for part in lines:
        parts.append(part)
        n += len(part)
        if n > _MAX_DOCUMENT:
            raise InputError(
                f"{path}: JSON of more than {_MAX_DOCUMENT:,} characters that is no JSON lines: write them"
            )
    return "".join(parts)


def _values(path: Path, text: str, n_before: int) -> Iterator[tuple[int, Any, str]]:
    """The values of a document with their lines; those of a list one by one."""
    position, counted, line, is_list = 0, 0, n_before + 1, False
    while (space := _SPACE.match(text, position)) is not None and (position := space.end()) < len(text):
        line += text.count("\n", counted, position)
        counted = position
        sign = text[position]
        if (sign == "[" and not is_list) or (sign in ",]" and is_list):
            is_list = sign != "]"
            position += 1
            continue
        try:
            value, end = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            where = f"{path}:{n_before + error.lineno}"
            raise InputError(f"{where}: not valid JSON ({error.msg}, column {error.colno})") from error
        except RecursionError:
            raise InputError(f"{path}:{line}: {_TOO_DEEP}") from None
        yield line, value, text[position:end] if end - position < MAX_CELL else text[position : position + MAX_CELL]
        position = end
    if is_list:
        raise InputError(f"{path}: not valid JSON: the list is never closed, so the file is not whole")


def _row(line: int, value: Any, selection: Selection, names: dict[str, None], content: str) -> Line | None:
    """The row of an object, why it is none, or None where it is not wanted."""
    if not isinstance(value, dict):
        return Broken(line, shown(content.strip()), "not a JSON object")
    fields: Mapping[str, Any] = value
    twice: frozenset[str] = value.twice if isinstance(value, _Ambiguous) else frozenset()
    if any(name not in fields or not name.isascii() for name in selection.names) or _has_twins(fields):
        names.update(dict.fromkeys(fields))
        fields, twice = _by_normal_name(value, twice)
    if twice and (name := next((name for name in selection.names if name in twice), None)) is not None:
        return Broken(line, shown(content.strip()), f"key {name!r} stands twice: which one counts?")
    n_columns = len(selection.columns)
    if selection.where and not selection.is_wanted([_condition(fields, name) for name in selection.where]):
        return None
    cells = []
    for name in selection.columns:
        if name not in fields:
            return Broken(line, shown(content.strip()), f"no key {name!r}{hint(name, list(fields))}")
        cell = fields[name]
        if isinstance(cell, dict | list):
            kind = "an object" if isinstance(cell, dict) else "a list"
            return Broken(line, shown(content.strip()), f"key {name!r} holds {kind}, not one value")
        cells.append(_as_text(cell))
    return _sound(line, cells[:n_columns], selection, content)


def _sound(line: int, cells: Sequence[str], selection: Selection, content: str) -> Line:
    text = "".join(cells)
    if text.isascii() and len(text) <= MAX_CELL:
        return line, cells
    if first_undecoded(text) is not None and (character := first_undecoded(content)) is not None:
        not_utf8(selection.path, line, character)
    whole = [cell.encode("utf-8", "backslashreplace").decode() for cell in cells]  # an escape may be half a character
    return selection.doubt(line, whole) or (line, whole)


def _has_twins(fields: Mapping[str, Any]) -> bool:
    """Whether two keys are one name, such as `Eg` and `Eg `."""
    return len(set(map(_normal_key, fields))) < len(fields)


def _by_normal_name(fields: Mapping[str, Any], twice: frozenset[str]) -> tuple[dict[str, Any], frozenset[str]]:
    found: dict[str, Any] = {}
    also = {normalised(name) for name in twice}
    for key, cell in fields.items():
        name = _normal_key(key)
        if name in found:
            also.add(name)
        found[name] = cell
    return found, frozenset(also)


def _condition(fields: Mapping[str, Any], name: str) -> str | None:
    return None if name not in fields else _as_text(fields[name])


def _as_text(value: object) -> str:
    """A value as JSON writes it, a string without its quotes."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)
