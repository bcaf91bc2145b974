"""Tables of any kind: what is no table ends in an InputError, and what is one loses no row."""

import bz2
import csv
import gzip
import io
import json
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agd.errors import InputError
from agd.steps.cleaning import ImportRules, clean
from agd.steps.tabular import Source, read_source

N_EXAMPLES = int(os.environ.get("AGD_FUZZ_EXAMPLES", "300"))
FUZZ = settings(max_examples=N_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

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
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)


def read(content: bytes) -> Source:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes(content)
        return read_source(path, "formula", "Eg")


def judged(content: bytes) -> None:
    """Read and judge it, or refuse it in a bearable message."""
    message = ""
    try:
        clean(read(content), RULES, 0.0)
    except InputError as error:
        message = str(error)
    assert len(message) < 2000


@FUZZ
@given(BYTES, st.sampled_from([bytes, gzip.compress, bz2.compress]), st.integers(0, 400))
def test_any_bytes(content: bytes, packed: type, cut: int) -> None:
    whole = packed(content)
    judged(whole[: max(1, len(whole) - cut)] if cut < 100 else whole)


@FUZZ
@given(
    st.lists(st.tuples(FORMULAS, VALUES, CELLS, CELLS), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from([(0, 1, 2, 3), (2, 0, 3, 1)]),
)
def test_rows_come_back_whatever_stands_beside_them(
    rows: list[tuple[str, str, str, str]], separator: str, end: str, encoding: str, order: tuple[int, ...]
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    names = ("formula", "Eg", "a;b,c|d", "note")
    for row in (names, *rows):
        writer.writerow([row[i] for i in order])
    source = read(text.getvalue().encode(encoding))
    assert [(row.formula, float(row.value or "")) for row in source.rows] == [(f, float(v)) for f, v, *_ in rows]
    assert not source.broken


@FUZZ
@given(
    st.lists(st.tuples(FORMULAS, VALUES, st.text(max_size=5), JSON), min_size=1, max_size=8), st.sampled_from([None, 1])
)
def test_objects_come_back_whatever_else_they_hold(
    rows: list[tuple[str, str, str, object]], indent: int | None
) -> None:
    wanted = {"formula", "Eg"}
    objects = [
        {**({key: more} if key.strip() not in wanted else {}), "formula": formula, "Eg": float(value)}
        for formula, value, key, more in rows
    ]
    text = json.dumps(objects, indent=indent) if indent else "\n".join(map(json.dumps, objects))
    source = read(text.encode())
    assert [(row.formula, float(row.value or "")) for row in source.rows] == [(f, float(v)) for f, v, *_ in rows]
    assert not source.broken


@FUZZ
@given(JSON, JSON)
def test_any_json(first: object, second: object) -> None:
    for text in (json.dumps(first), json.dumps([first, second]), json.dumps({"formula": first, "Eg": second})):
        judged(text.encode())
