"""A record with a campaign, its control, a screen and structures, and a browser's requests to its pages."""

import os
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text
from starlette.testclient import TestClient

from agd import spec
from agd.db.connection import Database, ReadingLimits
from agd.db.removals import open_removal
from agd.loop import LocalEngine
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.web.access import Access
from agd.web.application import create
from agd.work.workspace import Workspace

STARTER = Path(str(files("agd") / "data" / "starter.csv"))

SPEC = """\
name = "{name}"
target = "band_gap > 6 eV"
seed = 7

[data]
dataset = "starter"

[initial]
n = 40
at_most = 5.0

[budget]
oracle_calls = {calls}
suggestions_per_iteration = 8

[oracle]
n_trees = 10

[sampler]
kind = "{sampler}"
"""


@pytest.fixture(scope="session")
def record(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A database where a campaign and its control have ended, and the folder of its models."""
    folder = tmp_path_factory.mktemp("web")
    name = f"agd_web_{os.getpid()}"
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with Database(url) as database:
        workspace = Workspace(database, folder / "artifacts")
        import_dataset(workspace, STARTER, "starter", ImportRules("formula", "band_gap_ev", "band_gap", "eV"))
        for campaign, sampler, calls in (("small", "analogue", 24), ("small-substitution", "substitution", 16)):
            path = folder / f"{campaign}.toml"
            path.write_text(SPEC.format(name=campaign, sampler=sampler, calls=calls))
            assert LocalEngine().run(workspace, open_campaign(workspace, spec.read(path))).is_ended
        twin = "(SELECT id FROM campaign WHERE name = 'small')"
        with database.transaction() as tx:
            open_removal(tx, "a test")
            tx.execute(text(f"UPDATE campaign SET twin_of_id = {twin} WHERE name = 'small-substitution'"))
    yield url, folder
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def writable(record: tuple[str, Path]) -> Iterator[Workspace]:
    """The same record for who adds to it."""
    url, folder = record
    with Database(url) as database:
        yield Workspace(database, folder / "artifacts")


@pytest.fixture
def readable(record: tuple[str, Path]) -> Iterator[Workspace]:
    """The same record as the pages have it."""
    url, folder = record
    with Database(url, reading=ReadingLimits()) as database:
        yield Workspace(database, folder / "artifacts")


@pytest.fixture
def visit(readable: Workspace) -> Callable[..., TestClient]:
    """Open a browser at the pages of the record, for whom `access` lets in."""

    def open_(access: Access | None = None, host: str = "localhost") -> TestClient:
        app = create(readable, access)
        return TestClient(app, base_url=f"http://{host}", raise_server_exceptions=False, follow_redirects=False)

    return open_


@pytest.fixture
def client(visit: Callable[..., TestClient]) -> TestClient:
    """A browser on the machine that serves the pages."""
    return visit()
