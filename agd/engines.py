"""Engines: who takes the steps of a campaign, and what the command line asks of them.

An engine is a class without arguments, found by its entry point in the group `agd.engines`. The campaigns it was handed
keep its name, and it is loaded where one of them is named.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias, cast

from agd import registry
from agd.errors import InputError, NotFoundError, PluginError
from agd.progress import Progress, silent

if TYPE_CHECKING:
    from agd.db.connection import Transaction
    from agd.errors import AgdError
    from agd.steps.campaign.campaigns import Campaign, Step
    from agd.steps.campaign.offline import Ingested
    from agd.steps.requests import Plan
    from agd.steps.upkeep.examining import Finding, Site
    from agd.work.workspace import Workspace

GROUP = "agd.engines"

LOCAL = "local"
"""The engine of whoever names none: the process itself."""

QUEUE = "fireworks"
"""The engine whose queue takes what is left to workers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the campaign's end, what somebody outside owes it, or a request to stop before."""

    is_ended: bool
    is_waiting: bool
    is_stopped: bool
    n_steps: int
    seconds: float
    kept_back: str | None = None
    """Which step the campaign waits for because it is held or cancelled, and the cure."""


@dataclass(frozen=True, slots=True)
class Mended:
    """One thing that queue and record disagreed about, which was put right, or with a dry look would be."""

    campaign: str | None
    fw_id: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.campaign or 'queue'}{'' if self.fw_id is None else f' (firework {self.fw_id})'}: {self.what}"


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """How a worker works: what it takes from the queue, where that is done, and when it leaves.

    Work of one campaign or all, of some categories or all, and what needs no more than `n_cores`, `hours` and
    `programs`, where they are given. `n_processes` of this machine do it, or jobs of the
    `cluster`; with `is_offline` steps go to folders under `folder`, for nodes that cannot reach the record. Jobs, or
    folders, are at most `max_jobs` at a time.
    """

    folder: Path
    n_processes: int = 1
    campaign: str | None = None
    categories: tuple[str, ...] = ()
    until_idle_s: float | None = None
    cluster: Literal["slurm", "pbs"] | None = None
    is_offline: bool = False
    qadapter: Path | None = None
    max_jobs: int = 4
    is_quiet: bool = False
    n_cores: int | None = None
    hours: float | None = None
    programs: tuple[str, ...] = ()


Queued: TypeAlias = Mapping[str, Mapping[str, int]]
"""How much of each campaign is in each state of a queue."""


class Engine(Protocol):
    """Runs campaigns; whatever stops it, the record says where to go on.

    Who names this class as its base has the defaults of an engine without a queue.
    """

    has_queue: ClassVar[bool] = False
    """Whether it can be handed work for others to do: `--detach` and `--workers`."""

    def run(
        self,
        workspace: "Workspace",
        campaign: "Campaign",
        *,
        n_workers: int = 1,
        on_step: "Callable[[Step], object]" = id,
        progress: Progress = silent,
    ) -> Outcome:
        """Take the steps of a campaign until it ends, waits for labels, or somebody asks to stop.

        Raises:
            BusyError: another process runs this campaign.
        """

    def submit(
        self,
        workspace: "Workspace",  # noqa: ARG002
        work: "Campaign | Plan",  # noqa: ARG002
    ) -> Sequence[int]:
        """Hand work to the queue, leave it to the workers, and return the ids it has there.

        Raises:
            BusyError: a process runs the campaign by itself.
        """
        raise InputError(f"{type(self).__name__} has no queue that work could be left in")

    def status(self, workspace: "Workspace", names: Sequence[str]) -> Queued:  # noqa: ARG002
        """How much of these campaigns is queued, by state; campaigns that it knows nothing of are left out."""
        return {}

    def findings(self, site: "Site", tx: "Transaction") -> "Iterable[Finding]":  # noqa: ARG002
        """What `agd doctor` should know of it."""
        return ()


class QueueEngine(Engine, Protocol):
    """An engine whose queue is worked by processes here, by jobs of a cluster, or by folders sent away."""

    def work(self, workspace: "Workspace", plan: WorkerPlan, say: Callable[[str], object]) -> None:
        """Do what is queued, and keep queue and record in step, until asked to stop; `say` hears of it."""

    def reconcile(
        self, workspace: "Workspace", *, is_dry: bool, say: Callable[[str], object]
    ) -> Sequence[Mended] | None:
        """Mend what queue and record disagree about; None where another process is at it."""

    def ingest(self, workspace: "Workspace", paths: Sequence[Path]) -> "Iterator[tuple[Path, Ingested | AgdError]]":
        """Record what prepared steps came to; `paths` are their folders, or folders of such folders.

        Raises:
            InputError: there is no prepared step.
        """

    def run_tool(self, workspace: "Workspace | None", words: Sequence[str]) -> int:
        """Run the queue's own command line, without a workspace for its help; its exit code."""


def load(name: str) -> type[Engine]:
    """The engine of that name; raises NotFoundError or PluginError."""
    return cast("type[Engine]", registry.load(GROUP, name))


def of_queue() -> QueueEngine:
    """The engine whose queue workers work."""
    return cast("QueueEngine", load(QUEUE)())


def usable(names: Iterable[str]) -> Iterator[tuple[str, Engine]]:
    """Those of some engines that are installed and can be loaded; `agd doctor` names the others."""
    for name in names:
        with suppress(NotFoundError, PluginError):
            yield name, load(name)()
