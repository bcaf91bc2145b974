"""TOML as text: on which line each key stands, and how a mapping is written.

The standard library's reader keeps no places, and neither do tomlkit and tomli: so a text is divided into its
statements, and the reader says what each one sets.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, ...]

MAX_DEPTH = 20
"""Of keys and lists; the sections that there are have a depth of 3."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")

_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'{3}.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*|[\[\]{}\n]''', re.DOTALL
)
"""What may hold a newline or a bracket that is none, and newlines and brackets."""


def lines_of(text: str) -> dict[Key, int]:
    """The line of each key of a valid text; of a section that of its header, or else of its first key.

    The tables of an array `[[a]]` are `a.0`, `a.1`; what stands within a list has no line of its own.
    """
    found: dict[Key, int] = {}
    n_tables: Counter[Key] = Counter()
    table: Key = ()
    for line, statement in _statements(text):
        said = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _table(said, n_tables)
            for depth in range(1, min(len(table), MAX_DEPTH)):
                found.setdefault(table[:depth], line)
            found[table] = line
        else:
            for key in _keys(said, table):
                found.setdefault(key, line)
    return found


def first_refused(text: str) -> int:
    """The line of the first statement that the reader refuses, as it does too long a number."""
    for line, statement in _statements(text):
        try:
            tomllib.loads(statement)
        except ValueError:
            return line
    return 1


def spelled(key: str) -> str:
    """A key as an error names it: quoted where it is not plain."""
    return key if _BARE.fullmatch(key) else repr(key)


def written(values: Mapping[str, Any]) -> str:
    """The text of a mapping of text, numbers, booleans, dates, lists and mappings: a section for each mapping."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in values.items() if not isinstance(value, Mapping)]
    for section, keys in values.items():
        if isinstance(keys, Mapping):
            lines += ["", f"[{_key(section)}]", *(f"{_key(key)} = {_value(value)}" for key, value in keys.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """The statements of a text with the line where each begins: blank lines and comments are such that say nothing."""
    begin, line, depth = 0, 1, 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if token[0] == "\n" and depth == 0:
            statement = text[begin : token.end()]
            yield line, statement
            line += statement.count("\n")
            begin = token.end()
    yield line, text[begin:]


def _table(header: Mapping[str, Any], n_tables: Counter[Key]) -> Key:
    """The table that a header opens; one of an array is counted, and has its position in the key."""
    table: Key = ()
    while header:
        ((name, inner),) = header.items()
        table = (*table, name)
        is_array = isinstance(inner, list)
        n_tables[table] += is_array
        if n_tables[table]:
            table = (*table, str(n_tables[table] - 1))
        header = {} if is_array else inner
    return table


def _keys(values: Mapping[str, Any], within: Key) -> Iterator[Key]:
    """Every key of nested mappings, whole."""
    for name, value in values.items():
        key = (*within, name)
        yield key
        if isinstance(value, Mapping) and len(key) < MAX_DEPTH:
            yield from _keys(value, key)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case date() | time():
            return value.isoformat()
        case Mapping():
            return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _text(words: str) -> str:
    """A basic string: JSON's, but for a character that JSON leaves as it is."""
    return json.dumps(words, ensure_ascii=False).replace("\x7f", "\\u007f")
