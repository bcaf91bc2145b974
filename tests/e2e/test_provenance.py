"""The lineage of a composition as a graph: drawn, and as PROV-JSON, with nothing that refers to what is not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from agd.cli.app import app
from agd.loop import LocalEngine
from agd.report.provenance import Provenance, prov_json, provenance_of
from agd.report.provenance_drawing import draw
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.reading.best import best_finds
from agd.steps.reading.explaining import why
from agd.steps.structures.structuring import StructurePlan, structure_of
from agd.work.workspace import Workspace

SVG = "{http://www.w3.org/2000/svg}"


def require_sound(graph: Provenance) -> dict[str, Any]:
    """PROV-JSON whose relations speak of what is there; boxes and arrows as many as there are."""
    told = prov_json(graph)
    kept = told["entity"] | told["activity"]
    assert len(kept) == len(graph.nodes) == len(told["entity"]) + len(told["activity"])
    for relation, kinds in (
        ("used", ("activity", "entity")),
        ("wasGeneratedBy", ("entity", "activity")),
        ("wasDerivedFrom", ("entity", "entity")),
    ):
        for ends in told.get(relation, {}).values():
            for kind, key in zip(kinds, ends.values(), strict=True):
                assert key in told[kind], (relation, ends)
    drawn = ET.fromstring(draw(graph))  # noqa: S314  our own
    assert len(drawn.findall(f".//{SVG}rect")) == len(graph.nodes)
    assert len(drawn.findall(f"{SVG}path")) == len(graph.arrows)
    return told


def test_a_find_comes_from_labels_parents_and_its_data_set(
    starter: Workspace, make_spec: Callable[..., ResolvedSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = open_campaign(starter, make_spec("one", target="band_gap > 1 eV", budget=9))
    LocalEngine().run(starter, campaign)
    formula = next(row.reduced_formula for row in best_finds(starter, campaign.id, 5) if row.reduced_formula)
    graph = provenance_of(why(starter, formula))
    titles = [node.title for node in graph.nodes.values()]
    assert {formula, "suggested by one", "labels known to one", "band gap"} <= set(titles)
    (suggested,) = (key for key, node in graph.nodes.items() if node.title == "suggested by one")
    assert (graph.of, suggested, "wasGeneratedBy") in graph.arrows
    require_sound(graph)
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ["why", formula, "--graph", "why.svg", "--prov", "why.json"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert json.loads(Path("why.json").read_text()) == prov_json(graph)
    assert Path("why.svg").read_text() == draw(graph)
    again = CliRunner().invoke(app, words)
    assert "why.svg is there already" in str(again.exception)


@pytest.mark.usefixtures("quick")
def test_structures_stand_behind_their_templates(
    workspace: Workspace, import_known: Callable[[Workspace], None]
) -> None:
    import_known(workspace)
    structure_of(workspace, StructurePlan(("KF",), templates="alike", potential="spring"), "KF")
    told = require_sound(provenance_of(why(workspace, "KF")))
    lowest = [one for one in told["entity"].values() if "meV/atom from" in one.get("agd:note", "")]
    assert len(lowest) == 1
    assert any(one["prov:label"] == "relaxed by spring" for one in told["activity"].values())


def test_words_cannot_be_markup(starter: Workspace) -> None:
    found = why(starter, "LiF")
    graph = provenance_of(found)
    key = next(key for key, node in graph.nodes.items() if node.title == "data set starter")
    evil = Provenance(graph.of, {**graph.nodes, key: type(graph.nodes[key])("entity", "<script>&\"'")}, graph.arrows)
    drawn = draw(evil, is_alone=False, has_links=True)
    assert "<script" not in drawn
    assert "<style" not in drawn
    ET.fromstring(drawn)  # noqa: S314  our own
