"""The shell completes names of campaigns and data sets."""

import pytest
from typer.testing import CliRunner

from agd.cli.app import app
from agd.work.workspace import Workspace


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("agd train oracle --dataset st", "starter"),
        ("agd train structures --dataset ", "starter"),
        ("agd data show s", "starter"),
        ("agd data show x", None),
        ("agd status ", None),
    ],
)
def test_names_are_offered(
    typed: str, offered: str | None, starter: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    variables = {"_AGD_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    told = CliRunner().invoke(app, prog_name="agd", env=variables).output.split()
    assert told == ([] if offered is None else [offered])


def test_a_record_that_does_not_answer_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGD_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    variables = {"_AGD_COMPLETE": "complete_bash", "COMP_WORDS": "agd status w", "COMP_CWORD": "2"}
    assert not CliRunner().invoke(app, prog_name="agd", env=variables).output.strip()
