"""Whatever the shell does with the streams, a verb ends in a sentence and an exit code, and loses nothing."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from agd.db.connection import Database
from agd.db.reading import progress
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.work.workspace import Workspace

Shell = Callable[..., SimpleNamespace]
MakeSpec = Callable[..., ResolvedSpec]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AGD_")}
    return {**clean, "AGD_DATABASE_URL": database_url, "AGD_HOME": str(tmp_path / "home"), "PY": sys.executable}


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> Shell:
    def call(line: str, changes: Mapping[str, str | None] | None = None) -> SimpleNamespace:
        """Run a line of bash in which `agd` is this program."""
        merged = {key: value for key, value in {**environment, **(changes or {})}.items() if value is not None}
        script = f'agd() {{ "$PY" -m agd "$@"; }}\n{line}'
        ran = subprocess.run(["bash", "-c", script], env=merged, cwd=tmp_path, capture_output=True, check=False)
        out, err = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
        assert "Traceback" not in out + err, err
        return SimpleNamespace(code=ran.returncode, out=out, err=err)

    return call


@pytest.fixture
def campaign(starter: Workspace, make_spec: MakeSpec) -> None:
    open_campaign(starter, make_spec())


@pytest.mark.usefixtures("campaign")
@pytest.mark.slow
def test_streams_that_are_closed_full_or_gone(shell: Shell) -> None:
    lost = "agd: standard output cannot be written"
    for line, code, words in (
        ("agd list >&-", 2, f"{lost} (it is closed)"),
        ("agd list 2>&-", 0, ""),
        ("agd list <&-", 0, ""),
        ("agd nosuch <&- >&- 2>&-", 2, ""),
        ("agd data import - --name x --formula-column f <&-", 2, "-: standard input is closed"),
        ("agd list >/dev/full", 2, f"{lost} (No space left on device)"),
        ("agd list --json >/dev/full", 2, f"{lost} (No space left on device)"),
        ("agd export small >/dev/full", 2, f"{lost} (No space left on device)"),
        ("agd list >/dev/full 2>/dev/full", 2, ""),
        ("agd list | head -0; exit ${PIPESTATUS[0]}", 141, ""),
        ("agd status small --watch | head -1; exit ${PIPESTATUS[0]}", 141, ""),
    ):
        ran = shell(line)
        assert ran.code == code, (line, ran)
        assert words in ran.err, (line, ran)
        assert len(ran.err.splitlines()) == bool(words), (line, ran)


@pytest.mark.usefixtures("campaign")
@pytest.mark.slow
def test_encodings_and_terminals(shell: Shell) -> None:
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for changes in (
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LANG": "xx_YY"},
        ascii_alone,
        {"TERM": "dumb", "COLUMNS": "0"},
        {"COLUMNS": "²", "TERMINAL_WIDTH": "abc"},
        {"HOME": None},
    ):
        ran = shell("agd list && agd list --help", changes)
        assert ran.code == 0, (changes, ran)
        assert "small" in ran.out
    assert "small" in shell("agd list | iconv -f utf-16", {"PYTHONIOENCODING": "utf-16"}).out
    refused = shell("agd top Bandlücke", ascii_alone)
    assert (refused.code, "set LC_ALL=C.UTF-8" in refused.err) == (2, True)
    assert shell("agd top $'\\xff'").code == 2
    assert "the working folder is gone" in shell("mkdir gone; cd gone; rmdir ../gone; agd list").err
    assert "name one in full" in shell("agd list", {"AGD_HOME": "~nosuch/agd"}).err


def test_what_steers_a_terminal_is_shown_as_text(shell: Shell, starter: Workspace, make_spec: MakeSpec) -> None:
    opened = open_campaign(starter, make_spec())
    with starter.database.transaction() as tx:
        tx.execute(
            text("UPDATE campaign SET parked_reason = :why WHERE id = :id"),
            {"why": "\x1b[2J[/red]:on: \u202egnp", "id": opened.id},
        )
    shown = shell("agd status small").out
    assert "\\x1b[2J[/red]:on: \\u202egnp" in shown
    assert "\\x1b[31mred" in shell("agd top $'\\e[31mred'").err
    told = json.loads(shell("agd status small --json", {"PYTHONIOENCODING": "ascii"}).out)
    assert told["campaigns"][0]["campaign"] == "small"


@pytest.mark.slow
def test_a_campaign_outlives_its_streams(shell: Shell, starter: Workspace, make_spec: MakeSpec) -> None:
    make_spec(budget=10)
    ran = shell("agd run small.toml >/dev/full 2>&-")
    assert ran.code == 2, "what it had to say is lost"
    assert _state(starter.database) == "ended: budget spent"


@pytest.mark.slow
def test_a_campaign_whose_terminal_goes_away_stops_after_its_step(
    environment: dict[str, str], starter: Workspace, make_spec: MakeSpec, tmp_path: Path
) -> None:
    make_spec(budget=2000)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "agd", "run", "small.toml"], environment)  # noqa: S606
    os.set_blocking(terminal, False)
    for _ in range(600):
        try:
            os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.1)
        with starter.database.read() as tx:
            if tx.scalar(text("SELECT count(*) FROM suggestion")):
                break
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert _state(starter.database) == "paused"
    with starter.database.read() as tx:
        assert tx.scalar(text("SELECT count(*) FROM activity WHERE outcome IN ('running', 'failed')")) == 0


def test_an_interrupted_verb_says_so_on_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agd", "data", "import", "-", "--name", "x", "--formula-column", "f"]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, env=environment, cwd=tmp_path, text=True, **pipes) as waiting:  # type: ignore[call-overload]
        time.sleep(4)
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert err == "agd: interrupted; what was committed is safe\n"


def _state(database: Database) -> str:
    with database.read() as tx:
        return str(progress.campaigns(tx, "small")[0]["state"])
