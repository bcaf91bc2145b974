"""Structures through `agd.api`: the same rows as the verbs tell, and as tables of a notebook."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agd import api
from agd.cli.app import app
from agd.errors import InputError, NotFoundError
from agd.views import as_json
from agd.work.workspace import Workspace

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "structures.md").read_text()
MADE = (
    ("BaYF5", ["Ba", "Y", *["F"] * 5], -4.1),
    ("SrF2", ["Sr", "F", "F"], -4.2),
    ("YF3", ["Y", "F", "F", "F"], -4.3),
    *((element, [element], 0.0) for element in ("Sr", "Y", "F")),
)

CRYSTAL = {
    "id": "a",
    "lattice": [4.0, 4.0, 4.0, 90, 90, 90],
    "species": [["Cs", 1], ["Cl", 1]],
    "frac": [0, 0, 0, 0.5, 0.5, 0.5],
    "e_form": -2.1,
}


@pytest.fixture
def home(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("AGD_DATABASE_URL", workspace.database.url.replace("+psycopg", ""))
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    return workspace


@pytest.mark.usefixtures("quick")
def test_structures_and_their_comparison(home: Workspace, import_known: Callable[[Workspace], None]) -> None:
    with pytest.raises(NotFoundError):
        api.structure("KF", template="alike")
    import_known(home)
    found = api.structure("F1K1", 2, template="alike", potential="spring")
    assert [(row.rank, row.template, row.outcome) for row in found.candidates] == [
        (1, "CsCl", "relaxed"),
        (2, "RbBr", "relaxed"),
    ]
    words = ["structure", "KF", "--top", "2", "--template", "alike", "--potential", "spring", "--json"]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    assert told["was_there"]
    assert told["candidates"] == json.loads(json.dumps(as_json(found)["candidates"], default=str))
    cells = api.crystals(found)
    assert [(cell.composition.reduced_formula, len(cell)) for cell in cells] == [("KF", 2)] * 2
    page = found._repr_html_()
    assert page.count("<tr>") == 3
    assert "<td>RbBr</td>" in page
    compared = api.compare_structures("KF", potential="spring")
    assert [(one.formula, len(one.structures)) for one in compared.formulas] == [("KF", 2)]
    assert compared._repr_html_().count("<tr>") == 1 + len(compared.rankings)
    with pytest.raises(NotFoundError, match="no campaign 'nowhere'"):
        api.structures_of("nowhere", potential="spring")


@pytest.mark.usefixtures("home")
def test_imports_and_the_hull(tmp_path: Path) -> None:
    crystals = tmp_path / "crystals.jsonl"
    crystals.write_text(json.dumps(CRYSTAL))
    dry = api.import_structures(crystals, "salts", method="dft-pbe", scheme="mp2018", dry_run=True)
    done = api.import_structures([str(crystals)], "salts", method="dft-pbe", scheme="mp2018")
    assert (dry.n_structures, done.n_imported, done.was_there) == (1, 1, False)
    assert api.import_structures(crystals, "salts", method="dft-pbe", scheme="mp2018").was_there
    phases = tmp_path / "phases.csv"
    phases.write_text("formula,e\nSrF2,-4.0\nYF3,-4.2\nSrYF5,-4.0\nSr,0\nY,0\nF2,0\n")
    with pytest.raises(InputError):
        api.import_phases(phases, "phases", method="dft-pbe", scheme="mp2018", value_column="none")
    api.import_phases(phases, "phases", method="dft-pbe", scheme="mp2018", value_column="e")
    found = api.hull("SrYF5", method="dft-pbe")
    assert [one.n_phases for one in found.hulls] == [6]
    mix = (3 * -4.0 + 4 * -4.2) / 7
    assert found.distances[0].e_above_hull_ev_per_atom == pytest.approx(-4.0 - mix, abs=1e-4)
    page = found._repr_html_()
    assert page.count("<table>") == 2
    assert "<td>mp2018</td>" in page


def test_the_program_of_the_documents_runs(home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On made crystals in the place of the file that it names."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with gzip.open("known.jsonl.gz", "wt") as file:
        for formula, species, e_form in MADE:
            frac = [(0.13 * i + 0.07 * j * j) % 1 for i in range(len(species)) for j in range(3)]
            lattice = [6.0, 6.7, 7.3, 90, 90, 90]
            file.write(
                json.dumps({"id": formula, "lattice": lattice, "species": species, "frac": frac, "e_form": e_form})
            )
            file.write("\n")
    names: dict[str, object] = {}
    exec(program, names)  # noqa: S102  the text is ours
    assert [row.template for row in names["found"].candidates] == ["BaYF5"]  # type: ignore[attr-defined]
    assert "F" in Path("SrYF5.cif").read_text()
    with home.database.read() as tx:
        assert tx.scalar(text("SELECT count(*) FROM v_structure WHERE dataset = 'mp'")) == len(MADE)
