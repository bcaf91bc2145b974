"""Where keys stand in a text of TOML, whatever stands between them, and how a mapping is written."""

import tomllib
from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agd.spec.toml import first_refused, lines_of, written

TEXT = """\
# a = 1, [a]
name = "x"  # [data] n = 3
note = \"\"\"
[data]
n = 3 \\
\"\"\"
other = '''
]
n = 4 \"\"\" '''
"quoted = [key]" = 1
'kind' = "a # b"
dotted.one = 1
dotted."two three" = { four = 4, five = { six = "[seven]" } }

[data]  # n = 5
files = [  # [oracle]
  "a = 1",
  # n = 6
  [ "b" ], "c",
]
n = 7

  [ oracle . options ]
  n = 8

[[points]]
n = 9
[points.inner]
n = 10
[[points]]
n = 11
[[points.tables]]
n = 12
[[points.tables]]
n = 13

[oracle]
n = 14
"""

PLACES = {
    "name": 'name = "x"',
    "note": "note =",
    "other": "other =",
    "quoted = [key]": '"quoted = ',
    "kind": "'kind'",
    "dotted": "dotted.one",
    "dotted/one": "dotted.one",
    "dotted/two three": 'dotted."two three"',
    "dotted/two three/five/six": 'dotted."two three"',
    "data": "[data]  #",
    "data/files": "files =",
    "data/n": "n = 7",
    "oracle/options": "  [ oracle . options ]",
    "oracle/options/n": "  n = 8",
    "oracle/n": "n = 14",
    "oracle": "[oracle]",
    "points": "[[points]]",
    "points/0/n": "n = 9",
    "points/0/inner": "[points.inner]",
    "points/0/inner/n": "n = 10",
    "points/1/n": "n = 11",
    "points/1/tables/0/n": "n = 12",
    "points/1/tables/1/n": "n = 13",
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_key_stands_where_it_is_set(end: str) -> None:
    lines = lines_of(TEXT.replace("\n", end))
    for key, words in PLACES.items():
        line = lines[tuple(key.split("/"))]
        assert TEXT.split("\n")[line - 1].startswith(words), (key, line)


def test_a_line_for_every_key_and_no_other() -> None:
    def keys(value: Any, above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        found = {above} - {()}
        inner = value.items() if isinstance(value, dict) else ()
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            inner = ((str(i), one) for i, one in enumerate(value))
        return found.union(*(keys(one, (*above, name)) for name, one in inner))

    assert lines_of(TEXT).keys() == keys(tomllib.loads(TEXT))


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\N{GRINNING FACE}"])
def test_only_a_newline_ends_a_line(character: str) -> None:
    assert lines_of(f"a = 'x{character}y'\nb = 1") == {("a",): 1, ("b",): 2}


def test_a_number_that_is_too_long_has_a_line() -> None:
    assert first_refused(f'a = """\n{"7" * 5000}\n"""\nb = 1\nc = [\n1,\n{"7" * 5000}]\n') == 5
    assert first_refused("a = 1\n") == 1


def is_valid(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


CONTENT = st.text("a =[]{}#\"'\\\n", max_size=12)
STATEMENTS = st.one_of(
    *(CONTENT.map(f"k = {quotes}{{}}{quotes}".format) for quotes in ('"', "'", '"""', "'''")),
    CONTENT.map('k = [ # {}\n"]", # [ "\n"""\n]""" , \n\n]'.format),
    CONTENT.map("k = 1 # {}".format),
    CONTENT.map('"{}" . k = {{ a = 1 }}'.format),
    CONTENT.map("# {}".format),
).filter(is_valid)


@settings(deadline=None)
@given(st.lists(STATEMENTS, max_size=6))
def test_what_stands_before_a_key_does_not_move_it(statements: list[str]) -> None:
    texts = [f"[t{i}]\n{statement}\n" for i, statement in enumerate(statements)]
    text = "".join([*texts, "[last]\n"])
    assume(is_valid(text))
    found = lines_of(text)
    for i in range(len(texts)):
        assert found[f"t{i}",] == "".join(texts[:i]).count("\n") + 1
    assert found["last",] == text.count("\n")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.dates()
    | st.datetimes()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=6))
def test_what_is_written_reads_as_it_was(values: dict[str, Any]) -> None:
    text = written(values)
    assert tomllib.loads(text) == values
    assert {key[0] for key in lines_of(text)} == values.keys()


def test_it_is_written_as_a_person_would() -> None:
    values = {
        "name": "caf\u00e9 \N{GRINNING FACE}",
        "data": {"day": date(2026, 1, 31), "at": datetime(2026, 1, 31, 12, tzinfo=UTC), "clock": time(12)},
        "seed": 3,
        "sampler": {"kappa": 1e22, "is_on": True, "files": ["a", "b"], "inner": {"odd key": 1}},
    }
    assert (
        written(values)
        == """\
name = "caf\u00e9 \N{GRINNING FACE}"
seed = 3

[data]
day = 2026-01-31
at = 2026-01-31T12:00:00+00:00
clock = 12:00:00

[sampler]
kappa = 1e+22
is_on = true
files = ["a", "b"]
inner = {"odd key" = 1}
"""
    )
