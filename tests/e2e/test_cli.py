"""What a person meets at the command line: one clear line for every mistake, exit codes, nothing lost."""

import json
import lzma
import os
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from agd.db.connection import Database

Cli = Callable[..., SimpleNamespace]

STARTER = Path(str(files("agd") / "data" / "starter.csv"))

SPEC_TEXT = """\
name = "c"
target = "band_gap > 6 eV"

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 12
suggestions_per_iteration = 6

[autoencoder]
epochs = 3
n_latent = 12
hidden = 48
min_rows = 2000

[oracle]
n_trees = 10

[sampler]
kind = "ucb"
n_warmup = 200
"""


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AGD_")}
    home = tmp_path / "home"
    return {**clean, "AGD_DATABASE_URL": database_url, "AGD_HOME": str(home), "COLUMNS": "160"}


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    def call(*words: str, **changes: str) -> SimpleNamespace:
        ran = subprocess.run(
            [sys.executable, "-m", "agd", *words],
            env=environment | changes,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return SimpleNamespace(code=ran.returncode, out=ran.stdout, err=ran.stderr)

    return call


@pytest.fixture
def imported(cli: Cli) -> Cli:
    columns = ["--formula-column", "formula", "--value-column", "band_gap_ev", "--property", "band_gap", "--unit", "eV"]
    assert cli("data", "import", str(STARTER), "--name", "starter", *columns).code == 0
    return cli


def fails(ran: SimpleNamespace, code: int, *expected: str) -> None:
    assert ran.code == code, ran
    for part in expected:
        assert part in ran.err
    assert len(ran.err.strip().splitlines()) == 1, ran.err


def test_wrong_files_and_columns(cli: Cli, tmp_path: Path) -> None:
    gap = ["--property", "band_gap", "--unit", "eV"]
    table = tmp_path / "t.csv"
    table.write_text("composition,Eg\nZnO,3.3\n")
    fails(cli("data", "import", "none.csv", "--name", "x"), 2, "none.csv: no such file")
    fails(cli("data", "import", "t.csv", "--name", "x", "--value-column", "eg", *gap), 2, "did you mean 'Eg'?")
    wrong = ["--value-column", "Eg", "--property", "band_gap", "--unit", "GPa"]
    fails(cli("data", "import", "t.csv", "--name", "x", *wrong), 2, "band_gap is kept in eV")
    wrong[3] = "bandgap"
    fails(cli("data", "import", "t.csv", "--name", "x", *wrong), 2, "did you mean 'band_gap'?")
    fails(cli("data", "show", "x"), 3, "no dataset 'x'")


@pytest.mark.slow
def test_tables_as_spreadsheets_write_them(cli: Cli, environment: dict[str, str], tmp_path: Path) -> None:
    words = ["--name", "t", "--value-column", "Bandlücke", "--property", "band_gap", "--unit", "eV"]
    text = unicodedata.normalize("NFD", "sep=;\r\ncomposition;Bandlücke\r\nNaCl;8,5\r\nKCl;1.234,5\r\n")
    (tmp_path / "t.jsonl").write_bytes(lzma.compress(text.encode("utf-16")))
    ran = cli("data", "import", "t.jsonl", *words)
    assert ran.code == 0, ran.err
    assert "read as columns separated by semicolons with decimal commas" in ran.out
    assert "line 4: the value '1.234,5' has a point where the column has decimal commas" in ran.err
    assert json.loads(cli("data", "import", "t.jsonl", *words, "--json").out)["was_there"]
    (tmp_path / "two.jsonl").write_text('{"composition": "ZnO", "Bandlücke": 3.4, "Bandlücke": 3.2}\n')
    fails(cli("data", "import", "two.jsonl", *words), 2, "line 1: key 'Bandlücke' stands twice")
    ran = subprocess.run(  # closed, as a shell's `<&-` does
        ["sh", "-c", '"$0" -m agd data import - --name x <&-', sys.executable],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (2, "agd: -: standard input is closed: name a file, or pipe one into it\n")


def test_importing_twice_adds_nothing_and_rejects_are_named(cli: Cli, tmp_path: Path, database: Database) -> None:
    (tmp_path / "t.csv").write_text("composition,Eg\nZnO,3.3\nXq,1\nNaCl,-1\nZnO,3.4\n")
    words = ["data", "import", "t.csv", "--name", "t", "--value-column", "Eg", "--property", "band_gap", "--unit", "eV"]
    dry = cli(*words, "--dry-run", "--json")
    assert json.loads(dry.out)["n_imported"] == 0
    fails(cli(*words, "--strict"), 2, "t.csv:3:", "nothing imported with --strict")
    first = cli(*words)
    assert first.code == 0
    assert "3 rows refused" in first.err
    rejects = (tmp_path / "t.rejects.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in rejects] == ["line", "3", "4", "5"]
    again = cli(*words, "--json")
    assert json.loads(again.out)["was_there"]
    with database.read() as tx:
        counts = tx.execute(text("SELECT (SELECT count(*) FROM label), (SELECT count(*) FROM dataset_reject)")).one()
    assert tuple(counts) == (1, 3)
    (tmp_path / "t.csv").write_text("composition,Eg\nZnO,3.2\n")
    fails(cli(*words), 2, "dataset 't' holds other content")
    assert json.loads(cli("data", "show", "t", "--json").out)["rejects"][0]["line"] == 3


@pytest.mark.slow
def test_formulas_that_read_as_words_are_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("composition\nNaCl\nUNKNOWN\n(CuSO4·5H2O)2\nFe(III)2O3\n", encoding="utf-8")
    told = cli("data", "import", "notes.csv", "--name", "notes")
    assert told.code == 0
    assert "line 3 'UNKNOWN'" in told.err
    assert "line 5: 'Fe(III)2O3': '(III)' (character 3) is an oxidation state" in told.err
    again = json.loads(cli("data", "import", "notes.csv", "--name", "notes", "--json").out)
    assert (again["n_compositions"], again["n_rejected"], len(again["notices"])) == (3, 1, 2)
    assert cli("why", "CuSO4 * 5 H2O").code == 0
    fails(cli("why", "CuSO4.5H2O"), 2, "write · for a hydrate, CuSO4·5H2O")
    added = cli("label", "add", "BINS", "--value", "1", "--operator", "ada")
    assert (added.code, "reads like a word" in added.err) == (0, True)


def test_wrong_specifications(imported: Cli, tmp_path: Path) -> None:
    def with_spec(old: str, new: str) -> SimpleNamespace:
        (tmp_path / "c.toml").write_text(SPEC_TEXT.replace(old, new))
        return imported("run", "c.toml")

    fails(imported("run", "none.toml"), 2, "none.toml: no such file")
    fails(with_spec("oracle_calls = 12", 'oracle_calls = "fifty"'), 2, "c.toml:", "budget.oracle_calls", "'fifty'")
    fails(with_spec("[budget]", "[budgte]"), 2, "unknown key: did you mean 'budget'?")
    fails(with_spec('dataset = "starter"', 'dataset = "startr"'), 3, "did you mean 'starter'?")
    fails(imported("resume", "nobody"), 3, "no campaign 'nobody'")


def test_unknown_compositions(imported: Cli) -> None:
    fails(imported("why", "Xq2O"), 2, "Xq")
    fails(imported("why", "NaCl2.5"), 2, "2.5")
    fails(imported("why", "Pu7O13"), 3, "is not in the record")
    assert "NaCl" in imported("why", "Cl2Na2").out


@pytest.mark.slow
def test_a_database_that_is_down_or_old(cli: Cli, database: Database) -> None:
    down = cli("list", AGD_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    fails(down, 4, "does not answer", "AGD_DATABASE_URL")
    fails(cli("list", AGD_DATABASE_URL="mysql://x"), 2, "AGD_DATABASE_URL")
    fails(cli("list", AGD_HOEM="here"), 2, "AGD_HOEM", "AGD_HOME")
    with database.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    fails(cli("list"), 4, "agd db upgrade")
    assert "0000 (this agd needs" in cli("db", "current").out


def test_a_home_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fails(cli("list", AGD_HOME=str(tmp_path / "file" / "home")), 2, "cannot write", "AGD_HOME")


@pytest.mark.slow
def test_a_campaign_from_file_to_why(imported: Cli, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "c.toml").write_text(SPEC_TEXT)
    plan = imported("run", "c.toml", "--dry-run", "--json")
    assert json.loads(plan.out)["oracle_calls_left"] == 12
    ran = imported("run", "c.toml", "--json", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["n_new"] == 12
    assert imported("run", "c.toml", "--quiet").code == 0
    best = json.loads(imported("top", "c", "-n", "1", "--json").out)[0]["reduced_formula"]
    told = imported("why", best, "--timing")
    assert "suggested in iteration" in told.out
    assert "query: " in told.out
    assert "ended: budget spent" in imported("status", "c").out
    assert len(imported("hash", "c").out.strip()) == 64
    assert "autoencoder set v1" in imported("models").out
    assert "nothing" not in imported("list").out
    (tmp_path / "c.toml").write_text(SPEC_TEXT.replace("oracle_calls = 12", "oracle_calls = 13"))
    fails(imported("run", "c.toml"), 2, "budget.oracle_calls: 12 -> 13")
    for file in Path(environment["AGD_HOME"], "artifacts").rglob("*.npz"):
        file.chmod(0o644)
        content = bytearray(file.read_bytes())
        content[-30] ^= 1
        file.write_bytes(content)
    (tmp_path / "d.toml").write_text(SPEC_TEXT.replace('"c"', '"d"'))
    fails(imported("run", "d.toml", "--quiet"), 6, "sha256")


BEGUN = "SELECT count(*) > 0 FROM activity WHERE pid = {} AND iteration_id IS NOT NULL"


def start(environment: dict[str, str], folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "agd", *words],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(database: Database, query: str, process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        with database.read() as tx:
            if tx.scalar(text(query)):
                return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(query)


@pytest.mark.slow
def test_two_runs_a_stop_a_signal_and_a_kill(
    imported: Cli, database: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    """One campaign under everything that can happen to its process ends with the rows of an undisturbed one."""
    # Long enough to be still at work when two other commands have started, run and left.
    longer = SPEC_TEXT.replace("oracle_calls = 12", "oracle_calls = 80").replace("n_warmup = 200", "n_warmup = 8000")
    (tmp_path / "c.toml").write_text(longer)
    process = start(environment, tmp_path, "run", "c.toml")
    wait_for(database, "SELECT count(*) FROM iteration", process)
    fails(imported("run", "c.toml"), 5, "is being run by another process", "agd stop c")
    assert imported("stop", "c").code == 0
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert "not running" in imported("stop", "c").out

    process = start(environment, tmp_path, "resume", "c")
    wait_for(database, BEGUN.format(process.pid), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "agd resume c" in output

    process = start(environment, tmp_path, "resume", "c")
    wait_for(database, BEGUN.format(process.pid), process)
    process.kill()
    process.communicate(timeout=60)
    assert imported("resume", "c", "--quiet").code == 0

    (tmp_path / "c.toml").write_text(longer.replace('name = "c"', 'name = "u"'))
    assert imported("run", "c.toml", "--quiet").code == 0
    rows = (
        "SELECT iteration, rank, outcome, reduced_formula, value, acquisition FROM v_suggestion WHERE campaign = '{}'"
    )
    with database.read() as tx:
        disturbed, undisturbed = (set(tx.execute(text(rows.format(name))).all()) for name in ("c", "u"))
    assert disturbed == undisturbed
