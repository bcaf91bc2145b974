"""Whatever is read, formulas, tables, JSON lines, specifications: it is read whole, or refused in a bearable message.

A few hundred examples of each in the ordinary tests, twenty thousand in all in the slow ones.
"""

import bz2
import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agd import spec
from agd.chem.formula import parse_formulas
from agd.errors import InputError
from agd.steps.data.cleaning import ImportRules, clean
from agd.steps.data.tabular import Source, read_source

LENGTHS = pytest.mark.parametrize("n_examples", [300, pytest.param(3400, marks=pytest.mark.slow)])

FORMULAS = st.sampled_from(["NaCl", "LiF", "Fe2O3", "Ba(NO3)2", "MgO", "SrYF5"])
VALUES = st.floats(0, 20).map(repr)
RULES = ImportRules("formula", "Eg", "band_gap", "eV")

# Text that parsers stumble over, and bits of tables.
PIECES = st.sampled_from(
    [
        *(
            "formula",
            "Eg",
            "formula,Eg\n",
            "formula;Eg\n",
            "sep=;\n",
            "sep=",
            "# ",
            "NaCl",
            "8,5",
            "8.5",
            "1e400",
            "NaN",
        ),
        *(
            ",",
            ";",
            "\t",
            "|",
            '"',
            "'",
            "\n",
            "\r\n",
            "\r",
            " ",
            "{",
            "}",
            "[",
            "]",
            ":",
            '{"formula": "NaCl", "Eg": 1}',
        ),
        *(
            '"formula": ',
            '"Eg": ',
            "null",
            "true",
            "\\ud800",
            "\ufeff",
            "\x00",
            "\x85",
            "\u2028",
            "ü",
            "u\u0308",
            "7" * 4301,
        ),
        *("[" * 2000, "x" * 140_000, "{" + '"a":{' * 2000),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=30).map("".join)
BYTES = (
    st.binary(max_size=200)
    | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | TEXTS.map(lambda text: text.encode("utf-16", "surrogatepass"))
    | st.builds(
        lambda magic, rest: magic + rest,
        st.sampled_from(
            [b"\x1f\x8b\x08", b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\x00", b"]\x00\x00", b"PAR1", b"\xff\xfe", b"{", b"["]
        ),
        st.binary(max_size=100),
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
SOUND = [
    *(
        'name = "small"',
        'target = "band_gap > 6 eV"',
        "seed = 3",
        "[data]",
        'dataset = "starter"',
        "[initial]",
        "n = 30",
    ),
    *("at_most = 5.0", "[budget]", "oracle_calls = 8", "[autoencoder]", "epochs = 3"),
    *("[oracle]", "n_trees = 10", "[sampler]", 'kind = "ucb"', "kappa = 5"),
]
VALUES_OF_TOML = st.sampled_from(
    [
        *(
            '"a"',
            "1",
            "-1",
            "1e400",
            "nan",
            "inf",
            "true",
            "[]",
            "{}",
            "[[1]]",
            "2026-01-01",
            "9" * 5000,
            "0x" + "f" * 40,
        ),
        *(
            '"band_gap > 1e999 eV"',
            '"1 < 2"',
            '"""\na\n"""',
            "'\\'",
            '"\\ud800"',
            "[" * 3000,
            "{a={" * 500,
            '"😀"',
            '""',
        ),
    ]
)
LINES = (
    st.sampled_from(SOUND)
    | st.builds(lambda line, value: f"{line.partition('=')[0]} = {value}", st.sampled_from(SOUND), VALUES_OF_TOML)
    | st.sampled_from(
        ["[a.b.c]", "[[data]]", "[data", "# note", "\ufeff", "mode = 'paper'", "[filter]", "max_atoms = 0"]
    )
)
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)


def read(content: bytes) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes(content)
        return read_source(path, "formula", "Eg")


def same_rows(content: bytes, rows: Sequence[tuple[Any, ...]]) -> None:
    source = read(content)
    assert [(row.formula, float(row.value or "")) for row in source.rows] == [(row[0], float(row[1])) for row in rows]
    assert not source.broken


def judged(content: bytes) -> None:
    """Read and judge it, or refuse it in a bearable message."""
    message = ""
    try:
        clean(read(content), RULES, 0.0)
    except InputError as error:
        message = str(error)
    assert len(message) < 2000


def fuzz(n_examples: int, check: Callable[..., None], *strategies: st.SearchStrategy[Any]) -> None:
    settings(max_examples=n_examples, deadline=None, suppress_health_check=list(HealthCheck))(
        given(*strategies)(check)
    )()


@LENGTHS
def test_any_bytes(n_examples: int) -> None:
    def check(content: bytes, packed: Callable[[bytes], bytes], cut: int) -> None:
        whole = packed(content)
        judged(whole[: max(1, len(whole) - cut)] if cut < 100 else whole)

    fuzz(n_examples, check, BYTES, st.sampled_from([bytes, gzip.compress, bz2.compress]), st.integers(0, 400))


@LENGTHS
def test_rows_come_back_whatever_stands_beside_them(n_examples: int) -> None:
    def check(
        rows: list[tuple[str, str, str, str]], separator: str, end: str, encoding: str, order: tuple[int, ...]
    ) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=separator, lineterminator=end)
        names = ("formula", "Eg", "a;b,c|d", "note")
        for row in (names, *rows):
            writer.writerow([row[i] for i in order])
        same_rows(text.getvalue().encode(encoding), rows)

    fuzz(
        n_examples,
        check,
        st.lists(st.tuples(FORMULAS, VALUES, CELLS, CELLS), min_size=1, max_size=8),
        st.sampled_from([",", ";", "\t", "|"]),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        st.sampled_from([(0, 1, 2, 3), (2, 0, 3, 1)]),
    )


@LENGTHS
def test_objects_come_back_whatever_else_they_hold(n_examples: int) -> None:
    def check(rows: list[tuple[str, str, str, object]], indent: int | None) -> None:
        wanted = {"formula", "Eg"}
        objects = [
            {**({key: more} if key.strip() not in wanted else {}), "formula": formula, "Eg": float(value)}
            for formula, value, key, more in rows
        ]
        text = json.dumps(objects, indent=indent) if indent else "\n".join(map(json.dumps, objects))
        same_rows(text.encode(), rows)

    rows = st.lists(st.tuples(FORMULAS, VALUES, st.text(max_size=5), JSON), min_size=1, max_size=8)
    fuzz(n_examples, check, rows, st.sampled_from([None, 1]))


@LENGTHS
def test_any_json(n_examples: int) -> None:
    def check(first: object, second: object) -> None:
        for text in (json.dumps(first), json.dumps([first, second]), json.dumps({"formula": first, "Eg": second})):
            judged(text.encode())

    fuzz(n_examples, check, JSON, JSON)


@LENGTHS
def test_any_formula(n_examples: int) -> None:
    def check(texts: list[str]) -> None:
        counts, problems = parse_formulas(texts)
        refused = {problem.index: problem.message for problem in problems}
        for i, row in enumerate(counts):
            assert (i in refused) == (not row.any())
            assert (row >= 0).all()
        assert all(len(message) < 500 for message in refused.values())

    signs = st.sampled_from(
        [
            *"()[]{}.·*0123½₂²⁺+-^:/ ",
            "Na",
            "Cl",
            "O",
            "H2O",
            "(SO4)",
            "III",
            "D",
            "13C",
            "(II)",
            "x",
            "5H2O",
            "(" * 5000,
        ]
    )
    fuzz(n_examples, check, st.lists(st.lists(signs, max_size=12).map("".join) | st.text(max_size=15), max_size=5))


@LENGTHS
def test_any_specification(n_examples: int, tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"

    def check(lines: list[str]) -> None:
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        try:
            spec.read(path)
        except InputError as error:
            assert str(error).startswith(str(path))  # noqa: PT017
            assert all(len(line) < 500 for line in str(error).splitlines())  # noqa: PT017  a line each problem

    fuzz(n_examples, check, st.lists(LINES | st.text(max_size=20), max_size=20) | st.permutations(SOUND))
