"""Crystals as files have them: keys, formats told by content, and one sentence where one is wrong."""

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from agd.errors import InputError
from agd.steps.data.cleaning import Reject
from agd.steps.structures.entries import Entry, Raw, entries, parse_labels_where
from agd.steps.structures.sources import find_sources

ROCK_SALT: dict[str, Any] = {
    "id": "halite",
    "lattice": [5.64, 5.64, 5.64, 90.0, 90.0, 90.0],
    "species": [["Na", 4], ["Cl", 4]],
    "frac": [0, 0, 0, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5],
    "e_form": -2.1,
    "band_gap": 5.0,
    "icsd": True,
}
PRIMITIVE = {
    "@module": "pymatgen.core.structure",
    "@class": "Structure",
    "lattice": {"matrix": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]},
    "sites": [
        {"species": [{"element": "Cl", "occu": 1}], "abc": [0.5, 0.5, 0.5], "label": "Cl"},
        {"species": [{"element": "Na", "oxidation_state": 1, "occu": 1}], "abc": [0, 0, 0], "label": "Na"},
    ],
}
CIF = """\
# made by hand
data_{name}
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 {occupancy}
Cl1 Cl 0.5 0.5 0.5 1
"""


def read(*paths: Path) -> list[Entry | Reject]:
    return list(entries(find_sources(paths).raws()))


def test_one_crystal_however_it_is_written(tmp_path: Path) -> None:
    line = json.dumps(ROCK_SALT)
    vectors = {**ROCK_SALT, "lattice": PRIMITIVE["lattice"]["matrix"], "species": ["Na", "Cl"]}  # type: ignore[index]
    vectors["frac"] = [[0, 0, 0], [0.5, 0.5, 0.5]]
    entry = {"@class": "ComputedStructureEntry", "energy": -27.0, "entry_id": "e-1", "structure": PRIMITIVE}
    entry["data"] = {"formation_energy_per_atom": -2.1, "band_gap": 5.0}
    (tmp_path / "lines.txt").write_text(f"{line}\n\n{json.dumps(vectors | {'id': 'again'})}\n")
    (tmp_path / "packed").write_bytes(lzma.compress(line.encode()))
    (tmp_path / "list.json.gz").write_bytes(gzip.compress(json.dumps([entry], indent=1).encode()))
    (tmp_path / "named.json").write_text(json.dumps({"mp-22862": PRIMITIVE}, indent=1))
    (tmp_path / "two.cif").write_text(CIF.format(name="one", occupancy=1) + CIF.format(name="two", occupancy=1))
    names = ["lines.txt", "packed", "list.json.gz", "named.json", "two.cif"]
    found = read(*(tmp_path / name for name in names))
    kept = [one for one in found if isinstance(one, Entry)]
    assert len(kept) == len(found) == 7
    assert {(one.cell_sha256, one.space_group) for one in kept} == {(kept[0].cell_sha256, 225)}
    assert [one.name for one in kept[:5]] == ["halite", "again", "halite", "e-1", "mp-22862"]
    assert [one.values for one in kept] == [(-2.1, 5.0)] * 4 + [(None, None)] * 3
    assert [one.line for one in kept] == sorted(one.line for one in kept)
    assert kept[0].is_experimental is True
    assert kept[3].is_experimental is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lattice": None}, "key 'lattice' is missing"),
        ({"lattice": [1, 2, 3]}, "key 'lattice': a, b, c, alpha, beta, gamma or three vectors make a lattice, not 3"),
        ({"lattice": "five"}, "key 'lattice': not a list of numbers"),
        ({"lattice": [5.64, 5.64, 5.64, 90, 10, 120]}, "no cell has the lengths"),
        ({"species": [["Na", 4], ["Q", 4]]}, "'Q' is no element"),
        ({"species": [["Na", 4], 4]}, "key 'species': 4 is no symbol"),
        ({"frac": [0, 0, 0]}, "key 'frac': 8 sites have 24 numbers, not 3"),
        ({"e_form": "low"}, "key 'e_form': low is not a number"),
        ({"e_form": 999.0}, "key 'e_form': 999.0 "),
        ({"band_gap": -0.5}, "key 'band_gap': -0.5 is below 0"),
        ({"band_gap": float("nan")}, "key 'band_gap': nan is not a finite number"),
        ({"e_form": True}, "key 'e_form': True is not a finite number"),
        ({"formula": "K4Br4"}, "key 'formula': K4Br4, but the sites are Na4Cl4"),
        ({"nsites": 9}, "key 'nsites': 9, but 8 sites are given"),
        ({"species": [["Na", 10**9], ["Cl", 4]]}, "is no symbol, and no [symbol, count]"),
        ({"frac": [1e308] * 24}, "a place lies 1e+308 cells away"),
        ({"lattice": [1e300, 1, 1, 90, 90, 90]}, "a lattice vector is longer than 1000"),
        ({"frac": [0] * 24}, "do two atoms overlap?"),
        ({"id": "x" * 100_000}, "a name of 100,000 characters, 200 at most"),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_key(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(f"{json.dumps(ROCK_SALT)}\n{json.dumps(ROCK_SALT | change)}\n")
    good, bad = read(path)
    assert isinstance(good, Entry)
    assert isinstance(bad, Reject)
    assert bad.line == 2
    assert bad.message.startswith(f"{path}:2: ")
    assert words in bad.message


def test_broken_lines_and_disordered_crystals(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps(ROCK_SALT) + '\n{"id": 3,\n[1]\n')
    assert [type(one).__name__ for one in read(path)] == ["Entry", "Reject", "Reject"]
    (tmp_path / "half.cif").write_text(CIF.format(name="half", occupancy=0.5))
    (refused,) = read(tmp_path / "half.cif")
    assert isinstance(refused, Reject)
    assert "only ordered crystals are kept" in refused.message
    site = {"species": [{"element": "Na", "occu": 0.5}, {"element": "K", "occu": 0.5}], "abc": [0, 0, 0]}
    (mixed,) = entries(iter([Raw(1, "x", {"lattice": [3, 3, 3, 90, 90, 90], "sites": [site]})]))
    assert isinstance(mixed, Reject)
    assert mixed.kind == "disordered"


def test_labels_may_be_taken_of_some_alone(tmp_path: Path) -> None:
    lines = [
        json.dumps(ROCK_SALT | {"id": i, "label_src": source}) for i, source in enumerate(("id", "cell", "cell_2019"))
    ]
    (tmp_path / "some.jsonl").write_text("\n".join([*lines, json.dumps(ROCK_SALT)]))
    wanted = parse_labels_where(["label_src=id", "label_src=cell_2019"])
    assert wanted == {"label_src": ("id", "cell_2019")}
    found = list(entries(find_sources([tmp_path / "some.jsonl"]).raws(), wanted))
    assert [one.values for one in found if isinstance(one, Entry)] == [
        (-2.1, 5.0),
        (None, None),
        (-2.1, 5.0),
        (None, None),
    ]
    with pytest.raises(InputError, match="write KEY=VALUE"):
        parse_labels_where(["label_src"])


def test_a_key_that_stands_twice_is_not_settled_by_chance(tmp_path: Path) -> None:
    twice = json.dumps(ROCK_SALT)[:-1] + ', "e_form": -9.0}'
    (tmp_path / "some.jsonl").write_text(f"{twice}\n")
    (tmp_path / "list.json").write_text(f"[\n{json.dumps(ROCK_SALT | {'id': 2})},\n{twice}]")
    lines, whole = read(tmp_path / "some.jsonl"), read(tmp_path / "list.json")
    for refused in (lines[0], whole[1]):
        assert isinstance(refused, Reject)
        assert refused.message.endswith("key 'e_form' stands twice: which one counts?")
    assert isinstance(whole[0], Entry)


def test_what_nobody_asked_for_spoils_no_crystal(tmp_path: Path) -> None:
    """More digits than Python makes a whole number of; brackets deeper than it reads are a line of their own."""
    many = f', "note": {"9" * 5_000}}}'
    (tmp_path / "some.jsonl").write_text(json.dumps(ROCK_SALT)[:-1] + many + '\n{"a": ' + "[" * 200_000 + "\n")
    (tmp_path / "deep.jsonl").write_text('{"a": ' + "[" * 200_000 + "\n")
    kept, refused = read(tmp_path / "some.jsonl")
    assert isinstance(kept, Entry)
    assert isinstance(refused, Reject)
    assert "nested too deeply" in refused.message
    (alone,) = read(tmp_path / "deep.jsonl")
    assert isinstance(alone, Reject)


def test_a_formula_of_words_or_of_more_units_agrees(tmp_path: Path) -> None:
    some = ("NaCl", "Na4Cl4", "ClNa", "halite, synthetic", "Na0.5Cl0.5")
    (tmp_path / "some.jsonl").write_text(
        "".join(
            f"{json.dumps(ROCK_SALT | {'id': i, 'formula': formula, 'nsites': 8})}\n" for i, formula in enumerate(some)
        )
    )
    assert [type(one).__name__ for one in read(tmp_path / "some.jsonl")] == ["Entry"] * len(some)


def test_files_that_hold_no_crystals(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"notes.txt: holds no crystals that can be read: JSON lines, CIF"):
        read(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="holds no files"):
        read(tmp_path / "empty")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "gone.cif")
    (tmp_path / "cut.json").write_text('[{"lattice": 1},\n {"lattice"')
    with pytest.raises(InputError, match=r"cut.json:2: not valid JSON"):
        read(tmp_path / "cut.json")


@pytest.mark.parametrize("suffix", ["db", "json"])
def test_a_database_of_ase(suffix: str, tmp_path: Path) -> None:
    bulk = pytest.importorskip("ase.build").bulk
    connect = pytest.importorskip("ase.db").connect
    path = tmp_path / f"made.{suffix}"
    with connect(path) as database:
        database.write(bulk("NaCl", "rocksalt", a=5.64), e_form=-2.1)
        database.write(pytest.importorskip("ase.build").molecule("H2O"))
    salt, water = read(path)
    assert isinstance(salt, Entry)
    assert (salt.space_group, salt.values) == (225, (-2.1, None))
    assert isinstance(water, Reject)
    assert "'lattice' is missing" in water.message


def test_several_processes_read_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    rows = [json.dumps(ROCK_SALT | {"id": str(i), "lattice": [5 + i / 1000] * 3 + [90] * 3}) for i in range(40)]
    path.write_text("\n".join([*rows, "{"]))
    alone = list(entries(find_sources([path]).raws(), n_processes=1))
    monkeypatch.setattr("agd.steps.structures.entries._WORTH_PROCESSES", 5)
    monkeypatch.setattr("agd.steps.structures.entries._BATCH", 7)
    assert list(entries(find_sources([path]).raws(), n_processes=2)) == alone
