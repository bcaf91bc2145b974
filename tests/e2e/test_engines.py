"""An engine of another package: named by its entry point, and nobody else's concern once it is gone."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agd import engines, registry
from agd.cli.app import app
from agd.errors import InputError, NotFoundError, PluginError
from agd.work.workspace import Workspace

MODULE = """\
import time
from agd.db.record import campaigns
from agd.db.schema import server_time
from agd.engines import Engine, Outcome
from agd.steps.campaign.stepping import next_step, perform

class Third(Engine):
    '''Takes the steps one after another, and says so.'''

    def run(self, workspace, campaign, *, n_workers=1, on_step=id, progress=None):
        with workspace.database.transaction() as tx:
            campaigns.begin(tx, campaign.id, "third", server_time(tx))
        n = 0
        while (step := next_step(workspace, campaign)) is not None:
            on_step(step)
            perform(workspace, campaign, step, progress)
            n += 1
        return Outcome(True, False, False, n, 1.0)

    def status(self, workspace, names):
        return {name: {"READY": 7} for name in names}

class Bare:
    def run(self, workspace, campaign): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The metadata of a distribution with the engines `third` and `bare`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "others-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[agd.engines]\nthird = others:Third\nbare = others:Bare\n")
    (tmp_path / "others.py").write_text(MODULE)
    importlib.invalidate_caches()
    registry.installed.cache_clear()
    yield folder
    sys.modules.pop("others", None)
    registry.installed.cache_clear()


@pytest.fixture
def cli(starter: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_third_engine_runs_a_campaign(
    package: Path, cli: Callable[..., Result], make_spec: Callable[..., object]
) -> None:
    make_spec(budget=8)
    refused = cli("run", "small.toml", "--engine", "third", "--detach")
    assert isinstance(refused.exception, InputError)
    assert "the third engine is one process" in str(refused.exception)
    assert isinstance(cli("run", "small.toml", "--engine", "bare").exception, PluginError)
    ran = json.loads(cli("run", "small.toml", "--engine", "third", "--quiet", "--json").stdout)
    assert (ran["engine"], ran["n_charged"]) == ("third", 8)
    assert json.loads(cli("status", "--json").stdout)["queue"] == {"small": {"READY": 7}}
    assert cli("resume", "small", "--quiet").exit_code == 0

    (package / "entry_points.txt").unlink()
    registry.installed.cache_clear()
    assert json.loads(cli("status", "--json").stdout)["queue"] == {}
    gone = cli("resume", "small")
    assert isinstance(gone.exception, NotFoundError)
    assert "no engine 'third'" in str(gone.exception)


def test_ours_have_what_an_engine_must() -> None:
    assert {name: engines.load(name).has_queue for name in ("local", "fireworks")} == {
        "local": False,
        "fireworks": True,
    }
    with pytest.raises(InputError, match="has no queue"):
        engines.load("local")().submit(None, None)  # type: ignore[arg-type]
