import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from agd.errors import InputError
from agd.steps.data.cleaning import CleanTable, ImportRules, clean
from agd.steps.data.tabular import parse_where, read_source

RULES = ImportRules("formula", "Eg", "band_gap", "eV")

DAMAGED = """\
formula,Eg
NaCl,5.0
Xq2O,1.0
NaCl2.555,1.0
not a formula,1.0
,1.0
KCl,
KBr,wide
KI,nan
CsI,-Infinity
LiF,-0.5
MgO,1,2
Cl1Na1,4.0
CaO,1e999
Na2Cl2,5.0
NaN,0.3
"""


def read(folder: Path, content: str | bytes, name: str = "table.csv", rules: ImportRules = RULES) -> CleanTable:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return clean(read_source(path, rules.formula_column, rules.value_column), rules, 0.0)


def test_every_kind_of_damage_is_named_with_its_line(tmp_path: Path) -> None:
    table = read(tmp_path, DAMAGED)
    assert table.named.reduced_formula == ["NaCl", "NaN"]
    assert [(kept.value, kept.n_rows) for kept in table.kept] == [(5.0, 2), (0.3, 1)]
    assert {reject.line: reject.kind for reject in table.rejects} == {
        3: "unknown element",
        4: "non-integer amount",
        5: "unparsable",
        6: "empty",
        7: "missing value",
        8: "not a number",
        9: "not finite",
        10: "not finite",
        11: "negative",
        12: "broken row",
        13: "conflicting duplicate",
        14: "not finite",
    }
    messages = {reject.line: reject.message for reject in table.rejects}
    assert "line 2" in messages[13]
    assert "3 fields where the header has 2" in messages[12]


@pytest.mark.parametrize("written", ["1e200", "9999", "-999", "-1E30", "1e308", "101"])
@pytest.mark.parametrize("negative", ["reject", "keep", "clip"])
def test_a_placeholder_for_a_missing_value_is_no_value(tmp_path: Path, written: str, negative: str) -> None:
    rules = ImportRules("formula", "Eg", "band_gap", "eV", negative=negative)  # type: ignore[arg-type]
    table = read(tmp_path, f"formula,Eg\nZnO,3\nNaCl,{written}\n", rules=rules)
    assert table.named.reduced_formula == ["ZnO"]
    [reject] = table.rejects
    assert (reject.line, reject.kind, reject.value) == (3, "implausible", written)
    assert "lies outside -10 to 100, where values of band_gap lie" in reject.message


@pytest.mark.parametrize("written", ["5e-324", "1e-320", "2.2250738585072014e-308", "1e-400", "-1e-320"])
def test_a_number_too_near_to_zero_for_arithmetic_is_no_value(tmp_path: Path, written: str) -> None:
    table = read(tmp_path, f"formula,Eg\nZnO,3\nNaCl,{written}\n", rules=RULES)
    assert table.named.reduced_formula == ["ZnO"]
    assert [(reject.line, reject.kind) for reject in table.rejects] == [(3, "implausible")]
    assert f"the value {written} is nearer to 0 than values of band_gap lie" in table.rejects[0].message


def test_noise_of_arithmetic_around_zero_is_a_value(tmp_path: Path) -> None:
    table = read(tmp_path, "formula,Eg\nZnO,4.4e-17\nNaCl,1e-30\nMgO,0.0e-9\n", rules=RULES)
    assert [kept.value for kept in table.kept] == [4.4e-17, 1e-30, 0.0]


def test_the_minus_that_papers_print_is_a_minus(tmp_path: Path) -> None:
    rules = ImportRules("formula", "Eg", "band_gap", "eV", negative="keep")
    table = read(tmp_path, "formula,Eg\nZnO,\u22120.5\nNaCl,8e\u22121\n", rules=rules)
    assert [kept.value for kept in table.kept] == [-0.5, 0.8]


@pytest.mark.parametrize("policy", ["first", "lowest", "mean", "error"])
def test_values_whose_sum_overflows_are_refused_before_any_mean(tmp_path: Path, policy: str) -> None:
    rules = ImportRules("formula", "Eg", "band_gap", "eV", on_duplicate=policy)  # type: ignore[arg-type]
    table = read(tmp_path, "formula,Eg\nZnO,1e308\nZnO,1e308\nNaCl,5\n", rules=rules)
    assert [kept.value for kept in table.kept] == [5.0]
    assert [reject.kind for reject in table.rejects] == ["implausible", "implausible"]


@pytest.mark.parametrize(
    ("policy", "value", "line", "n_rows", "n_rejects"),
    [("first", 2.0, 2, 2, 2), ("lowest", 1.0, 3, 2, 2), ("mean", 1.5, 2, 4, 0)],
)
def test_duplicates(tmp_path: Path, policy: str, value: float, line: int, n_rows: int, n_rejects: int) -> None:
    rules = ImportRules("formula", "Eg", "band_gap", "eV", on_duplicate=policy)  # type: ignore[arg-type]
    table = read(tmp_path, "formula,Eg\nZnO,2\nOZn,1\nZn2O2,1\nZnO,2\n", rules=rules)
    (kept,) = table.kept
    assert (kept.value, kept.row.line, kept.n_rows) == (value, line, n_rows)
    assert len(table.rejects) == n_rejects


def test_conflicting_duplicates_can_be_an_error(tmp_path: Path) -> None:
    rules = ImportRules("formula", "Eg", "band_gap", "eV", on_duplicate="error")
    with pytest.raises(InputError, match=r"table.csv:3: ZnO has value 1 here and 2 on line 2; nothing imported"):
        read(tmp_path, "formula,Eg\nZnO,2\nOZn,1\n", rules=rules)


@pytest.mark.parametrize(("policy", "values"), [("keep", [1.0, -0.5]), ("clip", [1.0, 0.0]), ("reject", [1.0])])
def test_negative_values(tmp_path: Path, policy: str, values: list[float]) -> None:
    rules = ImportRules("formula", "Eg", "band_gap", "eV", negative=policy)  # type: ignore[arg-type]
    table = read(tmp_path, "formula,Eg\nZnO,1\nLiF,-0.5\n", rules=rules)
    assert [kept.value for kept in table.kept] == values


def test_json_lines_gzip_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        {"formula": "ZnO", "Eg": 3.3},
        {"formula": "NaCl", "Eg": None},
        [1],
        {"Eg": 1.0},
        {"formula": "KCl", "Eg": 8},
    ]
    content = "\n".join(json.dumps(line) for line in lines) + "\n{broken\n"
    table = read(tmp_path, content, "table.jsonl")
    assert table.named.reduced_formula == ["ZnO", "KCl"]
    assert {r.line: r.kind for r in table.rejects} == {
        2: "missing value",
        3: "broken row",
        4: "broken row",
        6: "broken row",
    }
    assert read(tmp_path, gzip.compress(content.encode()), "table.jsonl.gz").named.reduced_formula == ["ZnO", "KCl"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"formula,Eg\nZnO,3.3\n")))
    assert clean(read_source(Path("-"), "formula", "Eg"), RULES, 0.0).named.reduced_formula == ["ZnO"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"formula,Eg\n", "holds no rows"),
        (b"formula,Eg,Eg\nZnO,1,2\n", "column 'Eg' stands twice in the header"),
        (b"formula,gap\nZnO,1\n", "no column 'Eg'"),
        (b"Formula,Eg\nZnO,1\n", "no column 'formula': did you mean 'Formula'?"),
        (b"formula,Eg\nZn\xffO,1\n", r"table.csv:2: byte 0xff is not UTF-8"),
        (b'formula,Eg\n"ZnO,1\n', r"table.csv:\d: not valid CSV"),
        (b"\x1f\x8bbroken", "not a whole gzip file"),
        (b"formula,Eg\nXq,1\n", "no row can be imported; line 2: "),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, content)


def test_half_a_value_column_is_refused() -> None:
    with pytest.raises(InputError, match="go together"):
        ImportRules("formula", "Eg")


STRUCTURES = "id,formula,icsd,note\n1,NaCl,1,\n2,KCl,0,\n3,KBr,1,a\n4,Xq,0,\n5,MgO,1,a\n6,oops\n"


@pytest.mark.parametrize(
    ("where", "formulas", "n_left_out"),
    [
        ({}, ["NaCl", "KCl", "KBr", "Xq", "MgO"], 0),
        ({"icsd": "1"}, ["NaCl", "KBr", "MgO"], 2),
        ({"icsd": "1", "note": "a"}, ["KBr", "MgO"], 3),
        ({"note": ""}, ["NaCl", "KCl", "Xq"], 2),
    ],
)
def test_only_wanted_rows_are_read(tmp_path: Path, where: dict[str, str], formulas: list[str], n_left_out: int) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(STRUCTURES.encode()))
    source = read_source(tmp_path / "t.csv.gz", "formula", None, where)
    assert [row.formula for row in source.rows] == formulas
    every = ["NaCl", "KCl", "KBr", "Xq", "MgO"]
    assert [row.line for row in source.rows] == [2 + every.index(name) for name in formulas]
    assert source.n_left_out == n_left_out
    assert [line.line for line in source.broken] == [7]  # what is no row is never left out in silence


def test_conditions_that_no_row_meets(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(STRUCTURES)
    with pytest.raises(InputError, match="no column 'ICSD': did you mean 'icsd'"):
        read_source(tmp_path / "t.csv", "formula", None, {"ICSD": "1"})
    with pytest.raises(InputError, match=r"no row has icsd = '2' \(5 rows read\)"):
        read_source(tmp_path / "t.csv", "formula", None, {"icsd": "2"})
    (tmp_path / "t.jsonl").write_text('{"formula": "NaCl", "icsd": 1}\n{"formula": "KCl"}\n')
    source = read_source(tmp_path / "t.jsonl", "formula", None, {"icsd": "1"})
    assert ([row.formula for row in source.rows], source.n_left_out) == (["NaCl"], 1)
    with pytest.raises(InputError, match="no column 'icds'"):
        read_source(tmp_path / "t.jsonl", "formula", None, {"icds": "1"})


def test_conditions_are_written_column_equals_value() -> None:
    assert parse_where(["icsd=1", "note=a=b", "x="]) == {"icsd": "1", "note": "a=b", "x": ""}
    for wrong, message in ((["icsd"], "write COLUMN=VALUE"), (["=1"], "write COLUMN=VALUE"), (["a=1", "a=2"], "twice")):
        with pytest.raises(InputError, match=message):
            parse_where(wrong)


def test_a_truth_value_of_json_is_asked_for_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"formula": "NaCl", "icsd": true}\n{"formula": "KCl", "icsd": false}\n')
    source = read_source(tmp_path / "t.jsonl", "formula", None, {"icsd": "true"})
    assert [row.formula for row in source.rows] == ["NaCl"]
