"""A worker: processes that launch what is queued, watched and restarted, while queue and record are kept in step."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from agd.errors import AgdError, DatabaseError
from agd.waiting import waiting
from agd.work.workspace import Workspace
from agd_workflows.launching import Share
from agd_workflows.reconciling import Reconciler

_LOOK_S = 0.1
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0


@dataclass(slots=True)
class _Child:
    """One launching process, and how often in a row it died soon after its start."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    not_before: float = 0.0
    n_failures: int = 0


@dataclass(slots=True)
class Crew:
    """`n` launching processes of one worker; what dies is started again, later each time it dies soon."""

    workspace: Workspace
    share: Share
    n: int
    log: Path | None = None
    _children: list[_Child] = field(default_factory=list)
    _is_leaving: bool = False

    def look(self) -> bool:
        """Start who is missing; False when all have left because nothing was to be done."""
        if not self._children:
            self._children = [_Child() for _ in range(self.n)]
        at_work = [self._is_at_work(child) for child in self._children]
        return any(at_work)

    def _is_at_work(self, child: _Child) -> bool:
        now = time.monotonic()
        if child.process is None:
            if not self._is_leaving and now >= child.not_before:
                child.process, child.started = self._start(), now
            return True
        code = child.process.poll()
        if code is None:
            return True
        if code == 0 and self.share.until_idle_s is not None:
            return False
        child.n_failures = 0 if now - child.started > _STEADY_S else child.n_failures + 1
        child.not_before = now + min(_LONGEST_PAUSE_S, 0.25 * 2.0 ** min(child.n_failures, 10))
        child.process = None
        return not self._is_leaving

    def leave(self) -> None:
        """Let everybody finish the firework at hand and leave."""
        self._is_leaving = True
        at_work = [child.process for child in self._children if child.process is not None]
        for process in at_work:
            process.terminate()
        with waiting(lambda: f"waiting for {_counted(at_work)} to finish the step at hand", is_urgent=True):
            for process in at_work:
                process.wait()

    def kill(self) -> None:
        """End everybody at once; what they were at is lost, and done again."""
        self._is_leaving = True
        for child in self._children:
            if child.process is not None:
                child.process.kill()
                child.process.wait()

    @property
    def pids(self) -> set[int]:
        """Who is at work now."""
        return {child.process.pid for child in self._children if child.process is not None}

    @property
    def n_failures(self) -> int:
        """How often in a row each of them has died soon after its start."""
        return min((child.n_failures for child in self._children), default=0)

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "agd_workflows.launching", *self.share.words()]
        with _opened(self.log) as log:
            return subprocess.Popen(command, env=environment(self.workspace), stdout=log, stderr=log)  # noqa: S603  this program


def environment(workspace: Workspace) -> dict[str, str]:
    """The environment in which another process finds this workspace."""
    pace = workspace.pace
    ours = {
        "AGD_HOME": str(workspace.artifacts.parent),
        "AGD_HEARTBEAT_S": str(pace.heartbeat_s),
        "AGD_LEASE_S": str(pace.lease_s),
        "AGD_RECONCILE_S": str(pace.reconcile_s),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    if not workspace.database.is_embedded:
        ours["AGD_DATABASE_URL"] = workspace.database.url
    return {**os.environ, **ours}


def _counted(processes: Sequence["subprocess.Popen[bytes]"]) -> str:
    left = [process for process in processes if process.poll() is None]
    return f"{len(left)} process{'' if len(left) == 1 else 'es'}"


@contextmanager
def _opened(log: Path | None) -> Iterator[IO[Any] | None]:
    if log is None:
        yield None
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        yield file


def work(crew: Crew, reconciler: Reconciler, is_stopped: Callable[[], bool], say: Callable[[str], object]) -> None:
    """Keep a crew at work until asked to stop, or until it has nothing to do."""
    watch(reconciler, crew.look, is_stopped, say, _LOOK_S)


def watch(
    reconciler: Reconciler,
    look: Callable[[], bool],
    is_stopped: Callable[[], bool],
    say: Callable[[str], object],
    every_s: float,
) -> None:
    """Look until asked to stop or `look` is false, and keep queue and record in step; wait for an absent database."""
    next_pass = 0.0
    is_down = False
    while not is_stopped():
        try:
            if not look():
                return
            if time.monotonic() >= next_pass:
                next_pass = time.monotonic() + reconciler.workspace.pace.reconcile_s
                for mended in reconciler.look() or []:
                    say(str(mended))
                is_down = False
        except DatabaseError as error:
            if not is_down:
                say(f"{error}; waiting for it")
            is_down = True
        except AgdError:
            raise
        except Exception as error:  # noqa: BLE001  whatever FireWorks raises: the next pass looks again
            say(f"queue and record could not be compared ({type(error).__name__}: {error})")
        time.sleep(every_s)
