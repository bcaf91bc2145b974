"""Structures and phases through the verbs: in, shown, out again, nothing twice."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from agd.cli.app import app
from agd.db.record import hashes
from agd.errors import InputError
from agd.steps.data.importing import import_phases
from agd.steps.structures.importing import import_structures
from agd.steps.structures.showing import show_structure
from agd.work.workspace import Workspace

CUBIC = [0, 0, 0, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5]


def rock_salt(name: str, cation: str, a: float, **more: Any) -> str:
    lattice = [a, a, a, 90, 90, 90]
    return json.dumps({"id": name, "lattice": lattice, "species": [[cation, 4], ["Cl", 4]], "frac": CUBIC, **more})


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    path = tmp_path / "crystals.jsonl"
    rows = [
        rock_salt("a", "Na", 5.64, e_form=-2.1, band_gap=5.0, icsd=True),
        rock_salt("b", "Na", 5.64, e_form=-2.0),
        rock_salt("c", "K", 6.29, band_gap=4.9),
        rock_salt("a", "Rb", 6.58),
        rock_salt("d", "Cs", -7.0),
    ]
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("AGD_DATABASE_URL", workspace.database.url.replace("+psycopg", ""))
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


def test_the_verbs(workspace: Workspace, crystals: Path, run: Any, tmp_path: Path) -> None:
    asked = ("data", "import-structures", crystals, "--name", "salts", "--method", "dft-pbe", "--scheme", "mp2018")
    dry = json.loads(run(*asked, "--dry-run", "--json").stdout)
    assert (dry["n_imported"], dry["n_structures"], dry["n_rejected"]) == (0, 2, 2)
    assert not (tmp_path / "salts.rejects.csv").exists()
    done = json.loads(run(*asked, "--json").stdout)
    assert (done["n_read"], done["n_imported"], done["n_structures"], done["n_new_structures"]) == (5, 3, 2, 2)
    assert done["n_labels"] == {"formation_energy": 2, "band_gap": 2}
    refused = list(csv.DictReader((tmp_path / "salts.rejects.csv").read_text().splitlines()))
    assert [(row["line"], row["kind"]) for row in refused] == [("4", "repeated name"), ("5", "no crystal")]
    assert f"{crystals}:5: " in refused[1]["message"]
    again = json.loads(run(*asked, "--json").stdout)
    assert again["was_there"]
    assert again["n_labels"] == done["n_labels"]
    with workspace.database.read() as tx:
        counted = tx.execute(
            text(
                "SELECT (SELECT count(*) FROM structure), (SELECT count(*) FROM structure_row),"
                " (SELECT count(*) FROM label), (SELECT count(*) FROM v_label WHERE method = 'dft-pbe'"
                " AND correction_scheme = 'mp2018' AND structure_id IS NOT NULL)"
            )
        ).one()
        assert tuple(counted) == (2, 3, 4, 4)
        assert all(hashes.dataset_now(tx, row.id) == row.sha256 for row in hashes.datasets(tx))
    (listed,) = json.loads(run("data", "list", "--json").stdout)
    assert (listed["n_structures"], listed["n_compositions"], listed["correction_scheme"]) == (3, 2, "mp2018")
    assert "dft-pbe" in run("data", "list").stdout


def test_a_structure_goes_out_and_comes_in_as_the_same_cell(crystals: Path, workspace: Workspace, run: Any) -> None:
    import_structures(workspace, [crystals], "salts", method="dft-pbe", scheme="mp2018")
    said = run("data", "structure", "c", "-o", "kcl.cif")
    assert "KCl, space group 225, 2 atoms" in said.stdout
    found = json.loads(run("data", "structure", "c", "--json").stdout)
    assert [row["entry"] for row in found["rows"]] == ["c"]
    assert [row.entry for row in show_structure(workspace, "a").rows] == ["a", "b"]
    assert isinstance(run("data", "structure", "kcl").exception, Exception)
    back = import_structures(workspace, [Path("kcl.cif")], "back")
    assert (back.n_imported, back.n_new_structures, back.n_new_compositions) == (1, 0, 0)


def test_labels_of_some_crystals_alone_make_another_data_set(crystals: Path, workspace: Workspace) -> None:
    import_structures(workspace, [crystals], "salts")
    with pytest.raises(InputError, match="--labels-where source=id: no crystal that has a label says so"):
        import_structures(workspace, [crystals], "some", labels_where={"source": ["id"]})
    some = import_structures(workspace, [crystals], "some", labels_where={"id": ["a"]})
    assert (some.n_structures, some.n_new_structures, some.n_labels["formation_energy"]) == (2, 0, 1)
    assert import_structures(workspace, [crystals], "some", labels_where={"id": ["a"]}).was_there


def test_what_an_import_refuses(crystals: Path, workspace: Workspace) -> None:
    with pytest.raises(InputError, match="no correction scheme 'mp2019': did you mean"):
        import_structures(workspace, [crystals], "salts", scheme="mp2019")
    with pytest.raises(InputError, match=r"is the name of the crystal of line 1, too \(2 refused; nothing imported"):
        import_structures(workspace, [crystals], "salts", strict=True)
    unstated = import_structures(workspace, [crystals], "salts")
    assert ["--method" in said or "--scheme" in said for said in unstated.notices] == [True, True]
    with pytest.raises(InputError, match="holds this file by method 'unstated', which stays"):
        import_structures(workspace, [crystals], "salts", method="dft-pbe")
    with pytest.raises(InputError, match="in the record already, as dataset 'salts'"):
        import_structures(workspace, [crystals], "other")


def test_phases(workspace: Workspace, run: Any, tmp_path: Path) -> None:
    (tmp_path / "phases.csv").write_text("formula,target\nNa1Cl1,-2.1\nNa2Cl2,-2.0\nNa4,0.0\nNa1,0.1\nK1Cl1,-2.2\n")
    asked = ("data", "import-phases", "phases.csv", "--name", "phases", "--method", "dft-pbe", "--scheme", "mp2018")
    done = json.loads(run(*asked, "--value-column", "target", "--json").stdout)
    assert (done["n_imported"], done["n_merged"], done["n_rejected"]) == (3, 2, 0)
    assert "no phase of the bare elements Cl, K" in done["notices"][0]
    with workspace.database.read() as tx:
        found = tx.execute(
            text(
                "SELECT reduced_formula, value FROM v_label WHERE property = 'formation_energy' AND method = 'dft-pbe'"
                " AND correction_scheme = 'mp2018' ORDER BY reduced_formula COLLATE \"C\""
            )
        ).all()
    assert [tuple(row) for row in found] == [("KCl", -2.2), ("Na", 0.0), ("NaCl", -2.1)]
    with pytest.raises(InputError, match="--scheme unstated: phases compete on a hull of one method and one scheme"):
        import_phases(
            workspace,
            tmp_path / "phases.csv",
            "other",
            method="dft-pbe",
            scheme="unstated",
            columns=("formula", "target"),
        )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_structures(workspace: Workspace, real_data: Path, run: Any) -> None:
    files = sorted((real_data / "structures").glob("mp_*.jsonl.xz"))
    asked = ("data", "import-structures", *files, "--name", "mp", "--method", "dft-pbe", "--scheme", "mp2018", "--json")
    done = json.loads(run(*asked).stdout)
    assert (done["n_read"], done["n_rejected"]) == (139_127, 0)
    with workspace.database.read() as tx:
        anchors = tx.execute(
            text(
                "SELECT entry, formation_energy, band_gap FROM v_structure"
                " WHERE entry IN ('mp-1209161', 'mp-22957', 'mp-27455', 'mp-1818') ORDER BY entry"
            )
        ).all()
    assert [(row.entry, round(row.formation_energy, 3), round(row.band_gap, 3)) for row in anchors] == [
        ("mp-1209161", -2.725, 5.198),
        ("mp-1818", -3.495, 7.717),
        ("mp-22957", -3.597, 5.937),
        ("mp-27455", -2.729, 4.930),
    ]
    hull = real_data / "hull" / "matbench_mp_e_form.csv.gz"
    asked = ("data", "import-phases", hull, "--name", "phases", "--method", "dft-pbe", "--scheme", "mp2018", "--json")
    assert json.loads(run(*asked, "--value-column", "target").stdout)["n_read"] == 132_752
