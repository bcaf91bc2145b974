"""Crystals from a provider of OPTIMADE: our own pages, and one that answers what it should not."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.db.connection import Database, ReadingLimits
from agd.errors import InputError
from agd.steps.structures.importing import import_structures
from agd.steps.structures.optimade import OptimadeQuery, fetch
from agd.web.application import create
from agd.work.workspace import Workspace

ROCK_SALT: dict[str, Any] = {
    "chemical_formula_reduced": "ClNa",
    "nsites": 2,
    "dimension_types": [1, 1, 1],
    "lattice_vectors": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
    "cartesian_site_positions": [[0, 0, 0], [2.82, 2.82, 2.82]],
    "species_at_sites": ["Na", "Cl"],
    "species": [{"name": name, "chemical_symbols": [name], "concentration": [1]} for name in ("Na", "Cl")],
    "_x_gap": 5.0,
}


@pytest.fixture
def own_pages(workspace: Workspace, import_known: Callable[[Workspace], None]) -> Iterator[str]:
    """The pages of a record with structures, served."""
    import_known(workspace)
    with Database(workspace.database.url, reading=ReadingLimits()) as database, socket.create_server(("", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(create(Workspace(database, workspace.artifacts)), log_level="error"))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        yield f"http://localhost:{door.getsockname()[1]}/optimade"
        server.should_exit = True
        thread.join()


@contextmanager
def answering(*answers: tuple[int, object]) -> Iterator[str]:
    """A provider that gives these answers, one after the other; {at} in them is its address."""
    left = list(answers)

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, content = left.pop(0)
            body = content if isinstance(content, str) else json.dumps(content)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.replace("{at}", at).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        at = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever).start()
        yield at
        server.shutdown()


def entry(name: str, **change: object) -> dict[str, object]:
    return {"id": name, "attributes": ROCK_SALT | change}


def test_our_own_pages_give_the_same_cells(
    own_pages: str,
    fresh_database: Callable[[], AbstractContextManager[str]],
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["data", "import-optimade", own_pages, "--name", "again", "--filter", "nelements=2", "--json"]
    with fresh_database() as url, Database(url) as database:
        monkeypatch.setenv("AGD_DATABASE_URL", url)
        monkeypatch.setenv("AGD_HOME", str(tmp_path))
        told = json.loads(CliRunner().invoke(app, words).output)
        assert (told["n_imported"], told["n_rejected"]) == (3, 0)
        assert json.loads(CliRunner().invoke(app, words).output)["was_there"]
        with database.read() as tx, workspace.database.read() as own:
            query = text("SELECT cell_sha256 FROM structure")
            assert set(tx.execute(query).scalars()) < set(own.execute(query).scalars())


def test_pages_are_followed_and_what_cannot_be_kept_is_named(workspace: Workspace, tmp_path: Path) -> None:
    half = [{"name": "Na", "chemical_symbols": ["Na", "vacancy"], "concentration": [0.5, 0.5]}, ROCK_SALT["species"][1]]
    first = {"data": [entry("1"), entry("2", species=half)], "links": {"next": {"href": "{at}/v1/structures?more"}}}
    last = {"data": [entry("3", dimension_types=[1, 1, 0]), entry("4", _x_gap=None)], "links": {"next": None}}
    with answering((503, ""), (200, first), (200, last)) as at:
        n = fetch(OptimadeQuery(at, band_gap="_x_gap"), tmp_path / "got.jsonl")
    assert n == 4
    summary = import_structures(workspace, [tmp_path / "got.jsonl"], "them", source=at)
    assert (summary.n_imported, summary.n_labels["band_gap"]) == (2, 1)
    assert [one.message for one in summary.rejects] == [
        f"{at}:2: key 'sites': site 1 is of several elements, or partly empty",
        f"{at}:3: key 'lattice' is missing",
    ]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, "<html>"), "the answer is not JSON"),
        ((200, "[" * 100_000), "the answer is not JSON"),
        ((200, []), "not one of OPTIMADE"),
        ((200, {"data": {}}), "it has no list 'data'"),
        ((200, {"data": [1]}), "an entry has no 'attributes'"),
        ((200, {"data": []}), "no structure answers that"),
        ((400, {"errors": [{"detail": "no such field"}]}), "answers 400: no such field"),
        ((404, "gone"), "answers 404"),
        ((200, {"data": [entry("1")], "links": {"next": "file:///etc/hostname"}}), "is no address of a next page"),
    ],
)
def test_what_a_provider_should_not_say(answer: tuple[int, object], words: str, tmp_path: Path) -> None:
    with answering(answer) as at, pytest.raises(InputError, match=words):
        fetch(OptimadeQuery(at), tmp_path / "got.jsonl")


def test_an_address_is_one_of_a_provider(tmp_path: Path) -> None:
    for url, words in (
        ("file:///etc/hostname", "is no address"),
        ("nowhere", "is no address"),
        ("http://x/?a", "before '?'"),
        ("http://127.0.0.1:1/", "does not answer"),
    ):
        with pytest.raises(InputError, match=words.replace("?", r"\?")):
            fetch(OptimadeQuery(url), tmp_path / "got.jsonl")
    assert not (tmp_path / "got.jsonl").read_text()


def test_pages_in_a_ring_end(tmp_path: Path) -> None:
    ring = {"data": [entry("1")], "links": {"next": "{at}/v1/structures?again"}}
    with answering((200, ring), (200, ring), (200, ring)) as at, pytest.raises(InputError, match="lead back"):
        fetch(OptimadeQuery(at), tmp_path / "got.jsonl")
