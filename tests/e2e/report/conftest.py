"""A searched record to report on, and a reader of pages that lets nothing pass."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from agd import spec
from agd.db.connection import Database
from agd.db.removals import open_removal
from agd.loop import LocalEngine
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.work.workspace import Workspace

STARTER = Path(str(files("agd") / "data" / "starter.csv"))

SPEC = """\
name = "{name}"
target = "band_gap > 3 eV"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 25
suggestions_per_iteration = 8
stall_after = 8

[autoencoder]
epochs = 3
n_latent = 12
hidden = 48
min_rows = 2000

{more}
"""

UCB = '[oracle]\nn_trees = 10\nexclude_initial = false\n[sampler]\nkind = "ucb"\nkappa = 5\nn_warmup = 200\n'
RANDOM = UCB[: UCB.index("[sampler]")] + '[sampler]\nkind = "random"\n'

_VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page as a strict reader sees it: every element closed, what it fetches, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], self.open
        assert len(set(self.ids)) == len(self.ids), "an id twice"
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in self.fetched), self.fetched
        assert not {"script", "link", "iframe", "object"} & set(self.tags)
        assert "@import" not in page
        assert not re.search(r"url\((?!#|&quot;#|\"#)", page)
        assert page.startswith("<!DOCTYPE html>")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.fetched += [given[key] or "" for key in ("src", "href", "xlink:href", "srcset") if key in given]
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    """Check a page and read it."""
    return Page


@pytest.fixture
def row() -> Callable[[Workspace, str], tuple[object, ...]]:
    """Ask the record for one row."""

    def ask(workspace: Workspace, query: str) -> tuple[object, ...]:
        with workspace.database.read() as tx:
            return tuple(tx.execute(text(query)).one())

    return ask


@pytest.fixture(scope="module")
def found(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A database where a campaign found something and so did its random twin, and the folder of its models."""
    folder = tmp_path_factory.mktemp("found")
    with copied(server_url, template, "found") as url, Database(url) as database:
        workspace = Workspace(database, folder / "artifacts")
        import_dataset(workspace, STARTER, "starter", ImportRules("formula", "band_gap_ev", "band_gap", "eV"))
        for name, more in (("small", UCB), ("small-random", RANDOM)):
            path = folder / f"{name}.toml"
            path.write_text(SPEC.format(name=name, more=more))
            assert LocalEngine().run(workspace, open_campaign(workspace, spec.read(path))).is_ended
        twin = "(SELECT id FROM campaign WHERE name = 'small')"
        with database.transaction() as tx:
            open_removal(tx, "a test")
            tx.execute(text(f"UPDATE campaign SET twin_of_id = {twin} WHERE name = 'small-random'"))
        database.close()
        yield url, folder


@pytest.fixture
def searched(found: tuple[str, Path], server_url: str, request: pytest.FixtureRequest) -> Iterator[Workspace]:
    """A copy of that record for one test."""
    url, folder = found
    name = f"copy_{abs(hash(request.node.name)) % 10**8}"
    with copied(server_url, str(make_url(url).database), name) as copy, Database(copy) as database:
        yield Workspace(database, folder / "artifacts")


@contextmanager
def copied(server_url: str, source: str, name: str) -> Iterator[str]:
    """The URL of a database made as a copy of another, dropped at the end."""
    name = f"agd_report_{os.getpid()}_{name}"
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{source}"'))
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
