"""The local engine: the steps of one campaign, one after another, in this process."""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from agd.db.record import activities, campaigns, hashes
from agd.db.schema import server_time
from agd.engines import LOCAL, Engine, Outcome
from agd.errors import DatabaseError
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.steps.campaign.campaigns import Campaign, Step
from agd.steps.campaign.stepping import AWAIT, perform, what_comes_next
from agd.waiting import waiting
from agd.work.workspace import Workspace


class LocalEngine(Engine):
    """Runs campaigns in this process; whatever stops it, the record says where to go on."""

    def run(
        self,
        workspace: Workspace,
        campaign: Campaign,
        *,
        n_workers: int = 1,  # noqa: ARG002  one process
        on_step: Callable[[Step], object] = id,
        progress: Progress = silent,
        before: Collection[str] = (),
    ) -> Outcome:
        """Do what the record says comes next until the campaign ends, has to wait, or somebody asks to stop.

        It waits for labels that somebody outside owes it, and for steps that are held or cancelled.

        A step of a kind in `before` is not begun either, unless it is the first.

        Ctrl-C or SIGTERM finish the step at hand, commit it and leave; a second one interrupts at once.

        Raises:
            BusyError: another process runs this campaign.
        """
        started = time.monotonic()
        n_steps = 0
        is_asked_to_stop = False
        with workspace.database.read() as tx:
            asked_before = server_time(tx)
        lock = workspace.database.campaign_lock(campaign.id, campaign.name)
        clock = _StepClock()
        with lock as assert_held, stop_signals(clock.words) as is_stopped:
            with workspace.database.transaction() as tx:
                activities.bury_lost(tx, campaign.id)
                campaigns.begin(tx, campaign.id, LOCAL, asked_before)
            with kept_hash(workspace, campaign), limited_threads(campaign.spec.threads):
                while not is_stopped():
                    step, kept = what_comes_next(workspace, campaign)
                    if step is None or kept is not None or step.kind == AWAIT or (n_steps and step.kind in before):
                        break
                    assert_held()
                    on_step(step)
                    with clock.at(step):
                        perform(workspace, campaign, step, progress)
                    n_steps += 1
                    with workspace.database.read() as tx:
                        is_asked_to_stop = campaigns.is_stop_requested(tx, campaign.id)
                    if is_asked_to_stop:
                        break
                is_asked_to_stop |= is_stopped()
            step, kept = what_comes_next(workspace, campaign)
        is_waiting = kept is not None or (step is not None and step.kind == AWAIT)
        is_cut_short = is_asked_to_stop and step is not None
        return Outcome(step is None, is_waiting, is_cut_short, n_steps, time.monotonic() - started, kept)


class _StepClock:
    """How long the step at hand may still take, by the last one of its kind."""

    def __init__(self) -> None:
        self._took_s: dict[str, float] = {}
        self._step: tuple[str, float] | None = None

    @contextmanager
    def at(self, step: Step) -> Iterator[None]:
        """The step is done within."""
        began = time.monotonic()
        self._step = (step.kind, began)
        try:
            yield
        finally:
            self._took_s[step.kind], self._step = time.monotonic() - began, None

    def words(self) -> str:
        """What whoever asked to stop has to wait for."""
        about = ""
        if (doing := self._step) is not None and doing[0] in self._took_s:
            about = f", about {max(1, round(self._took_s[doing[0]] + doing[1] - time.monotonic()))} s"
        what = "this step" if doing is None else f"this step ({doing[0]})"
        return f"agd: stopping after {what}{about}; Ctrl-C again stops now, and the step is done anew"


@contextmanager
def kept_hash(workspace: Workspace, campaign: Campaign) -> Iterator[None]:
    """Keep the hash of the search as far as it has come when it is left, whether done or with an error."""
    try:
        yield
    except Exception:
        with suppress(DatabaseError):
            _keep_hash(workspace, campaign)
        raise
    _keep_hash(workspace, campaign)


def _keep_hash(workspace: Workspace, campaign: Campaign) -> None:
    with workspace.database.transaction() as tx:
        hashes.keep_search(tx, campaign.id)


@contextmanager
def stop_signals(words: Callable[[], str] = lambda: _LEAVING) -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a wish; the second falls back to what it did before.

    That the wish was heard is said at once, in these words.

    What the caller's parent has ignored (`nohup`) stays ignored, and a terminal that goes away may say so twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    wished = False
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: old for number in handled if (old := signal.getsignal(number)) is not signal.SIG_IGN}

    def wish(_number: int, _frame: FrameType | None) -> None:
        nonlocal wished
        wished = True
        restore()
        if signal.SIGHUP in before:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, wish)
    try:
        with waiting(lambda: words() if wished else None, is_urgent=True, is_at_once=True):
            yield lambda: wished
    finally:
        restore()


_LEAVING = "finishing the step at hand, then leaving; Ctrl-C again ends it at once"
