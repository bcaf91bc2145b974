"""Odd inputs through the command, on a record: no traceback, nothing half-written, nothing kept that was refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from agd.db.connection import Database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

FORMULAS = st.sampled_from(
    [
        *("NaCl", "LiF", "Fe2O3", "Ba(NO3)2", "CuSO4·5H2O", "(CuSO4·5H2O)2", "NaN", "MgO", "SrYF5", "Al2(SO4)3"),
        *("Fe(III)2O3", "Na[Cl)2", "CuSO4.5H2O", "Li0.5O", "UNKNOWN", "D2O", "Xq", "", "NH4+", "Na0", "H99999"),
    ]
)
VALUES = st.sampled_from(["1", "2.5", "9.1", "1e200", "-1", "9999", "8,5", "NaN", "inf", "", "x", "1e400", "7" * 5000])
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SEPARATORS = st.sampled_from([",", ";", "\t", "|"])
ROWS = st.lists(st.tuples(FORMULAS, VALUES, CELLS), max_size=6)


def as_csv(rows: list[tuple[str, str, str]], separator: str, encoding: str) -> bytes:
    return "\n".join(separator.join(row) for row in (("formula", "Eg", "note"), *rows)).encode(encoding)


def as_json_lines(rows: list[tuple[str, str, str]]) -> bytes:
    lines = (f'{{"formula": {json.dumps(f)}, "Eg": {v or "null"}, {json.dumps(cell)}: 1}}' for f, v, cell in rows)
    return "\n".join(lines).encode()


TABLES = (
    st.builds(as_csv, ROWS, SEPARATORS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    | st.builds(as_json_lines, ROWS)
    | st.binary(max_size=60)
)
LINES = st.sampled_from(
    [
        *(
            'name = "small"',
            'target = "band_gap > 6 eV"',
            "seed = 3",
            "[data]",
            'dataset = "starter"',
            "[initial]",
            "n = 3",
        ),
        *("[budget]", "oracle_calls = 8", "[oracle]", 'kind = "nosuch"', "x = [", "seed = " + "9" * 5000, "[sampler]"),
        *('name = "/"', 'target = "band_gap > 1e999 eV"', "[data", "\ufeff", "mode = 'paper'", "kappa = nan"),
    ]
)
SPECS = st.lists(LINES | CELLS, max_size=12).map(lambda lines: "\n".join(lines).encode())
COUNTS = "SELECT (SELECT count(*) FROM dataset), (SELECT count(*) FROM composition), (SELECT count(*) FROM label)"


def test_odd_inputs_through_the_command(database: Database, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGD_")}
    environment |= {"AGD_DATABASE_URL": database.url.replace("+psycopg", ""), "AGD_HOME": str(tmp_path / "home")}
    n_run = 0

    def rows(query: str) -> list[tuple[object, ...]]:
        with database.read() as tx:
            return [tuple(row) for row in tx.execute(text(query))]

    def check(content: bytes, kind: str) -> None:
        nonlocal n_run
        n_run += 1
        folder = tmp_path / f"{n_run}"
        folder.mkdir()
        file = folder / ("spec.toml" if kind == "spec" else "table")
        file.write_bytes(content)
        columns = ["--formula-column", "formula", "--value-column", "Eg", "--property", "band_gap", "--unit", "eV"]
        words = {
            "spec": ["run", "spec.toml", "--dry-run"],
            "import": ["data", "import", "table", "--name", f"d{n_run}", *columns, "--json"],
            "strict": ["data", "import", "table", "--name", f"d{n_run}", *columns, "--json", "--strict"],
        }[kind]
        before = rows(COUNTS)
        command = [sys.executable, "-m", "agd", *words]
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode in {0, 2, 3}, ran.stderr
        assert "Traceback" not in ran.stderr
        assert len(ran.stderr) < 20_000
        assert not rows("SELECT id FROM activity WHERE outcome = 'running'")
        assert file.read_bytes() == content
        if ran.returncode or kind == "spec":
            assert rows(COUNTS) == before
            assert [path.name for path in folder.iterdir()] == [file.name]
            return
        told = json.loads(ran.stdout)
        [found] = rows(
            "SELECT (SELECT count(*) FROM label l WHERE l.dataset_id = d.id) AS stored,"
            " (SELECT count(*) FROM label l WHERE l.dataset_id = d.id AND l.value NOT BETWEEN 0 AND 100) AS impossible,"
            " (SELECT count(*) FROM dataset_reject j WHERE j.dataset_id = d.id) AS refused,"
            " (SELECT count(*) FROM dataset_reject j JOIN dataset_row r USING (dataset_id, line)"
            f"  WHERE j.dataset_id = d.id) AS both FROM dataset d WHERE d.name = '{told['dataset']}'"
        )
        assert found == (told["n_compositions"], 0, told["n_rejected"], 0), told
        assert not [path for path in folder.iterdir() if path.name.endswith(".part")]

    how = settings(
        max_examples=200,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    cases = st.tuples(TABLES, st.sampled_from(["import", "strict"])) | st.tuples(SPECS, st.just("spec"))
    how(given(cases)(lambda case: check(*case)))()
    assert n_run >= 200
