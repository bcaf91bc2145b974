"""A campaign in the queue, worked by this very process."""

import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fireworks import LaunchPad
from sqlalchemy import text

from agd.config import Pace
from agd.db.connection import Database
from agd.db.reading import progress
from agd.db.record import hashes
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Campaign
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.work.workspace import Workspace
from agd_workflows.engine import FireWorksEngine
from agd_workflows.launching import Share, launch_all, open_queue
from agd_workflows.reconciling import Mended, Reconciler
from agd_workflows.task_runs import lend

STARTER = Path(str(files("agd") / "data" / "starter.csv"))


@dataclass(frozen=True)
class Queue:
    """A record with its queue."""

    workspace: Workspace
    launchpad: LaunchPad

    def submit(self, resolved: ResolvedSpec) -> Campaign:
        campaign = open_campaign(self.workspace, resolved)
        FireWorksEngine().submit(self.workspace, campaign)
        return campaign

    def work(self, n: int | None = None) -> int:
        """Launch what is ready, up to `n` fireworks; how many were."""
        lend(self.workspace)
        looks = 0

        def is_enough() -> bool:
            nonlocal looks
            looks += 1
            return n is not None and looks > n

        return launch_all(self.launchpad, Share(until_idle_s=0.0), is_enough)

    def work_through(self) -> None:
        """Work and reconcile until there is nothing left to do."""
        while self.work() or self.reconcile():
            pass

    def reconcile(self, *, is_dry: bool = False) -> list[Mended]:
        return Reconciler(self.workspace, self.launchpad, is_dry=is_dry).look() or []

    def scalar(self, query: str, **values: object) -> Any:
        with self.workspace.database.read() as tx:
            return tx.scalar(text(query), values)

    def rows(self, query: str) -> Sequence[Any]:
        with self.workspace.database.read() as tx:
            return tx.execute(text(query)).all()

    def state(self, name: str = "small") -> str:
        with self.workspace.database.read() as tx:
            return str(progress.campaigns(tx, name)[0]["state"])

    def hash(self, name: str = "small") -> str | None:
        with self.workspace.database.read() as tx:
            found = hashes.of_campaign(tx, name)
            return found and found.sha256

    def states(self) -> dict[str, str]:
        """State by name of every firework."""
        return {row["name"]: row["state"] for row in self.launchpad.fireworks.find({})}


@pytest.fixture
def queue(starter: Workspace) -> Queue:
    """The starter set with an empty queue, whose failures are tried again soon."""
    watched = replace(starter, pace=Pace(heartbeat_s=0.5, lease_s=30.0, reconcile_s=0.01))
    return Queue(watched, open_queue(watched))


@pytest.fixture(scope="session")
def expected(
    fresh_database: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[ResolvedSpec], str]:
    """The content hash of the same campaign by the local engine, in a record of its own."""
    known: dict[str, str] = {}

    def run(resolved: ResolvedSpec) -> str:
        if resolved.sha256 not in known:
            with fresh_database() as url, Database(url) as database:
                workspace = Workspace(database, tmp_path_factory.mktemp("local") / "artifacts")
                import_dataset(workspace, STARTER, "starter", ImportRules("formula", "band_gap_ev", "band_gap", "eV"))
                LocalEngine().run(workspace, open_campaign(workspace, resolved))
                with database.read() as tx:
                    found = hashes.of_campaign(tx, resolved.spec.name)
                    known[resolved.sha256] = found.sha256 if found else ""
        return known[resolved.sha256]

    return run


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
