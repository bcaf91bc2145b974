"""Watching a campaign run: bars on a terminal, a line now and then in a log file."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from agd.cli.show import duration, notices, text
from agd.progress import Progress as Reporter
from agd.steps.campaign.campaigns import Campaign, Step
from agd.steps.campaign.kinds import ITERATION, STEPS
from agd.steps.reading import overviews
from agd.views import CampaignProgress
from agd.waiting import waiting
from agd.work.workspace import Workspace

_LOG_INTERVAL_S = 10.0


class Watcher:
    """Shows the steps of a campaign on standard error; silent when told to be quiet."""

    def __init__(self, workspace: Workspace, campaign: Campaign, *, quiet: bool) -> None:
        self._workspace = workspace
        self._campaign = campaign
        self._quiet = quiet
        self._started = time.monotonic()
        self._last_line = 0.0
        self._bars = _bars(is_shown=not quiet)
        self._calls: TaskID | None = None
        self._training: TaskID | None = None
        self._step: Step | None = None
        self._step_began = self._started
        self._said_while_silent = ExitStack()

    def __enter__(self) -> Self:
        self._said_while_silent.enter_context(waiting(self._words, is_last_word=True))
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if self._calls is not None and kind is None:
                self._show_calls()
        finally:
            self._bars.stop()
            self._said_while_silent.close()

    def on_step(self, step: Step) -> None:
        """A step begins."""
        if self._training is not None:
            self._bars.update(self._training, completed=self._bars.tasks[self._training].total)
            self._training = None
        self._step, self._step_began = step, time.monotonic()
        if step.iteration is None:
            self._log(step.kind, force=True)
            if STEPS[step.kind].category == "train":
                self._training = self._bars.add_task(step.kind, total=None, note="")
        elif step.kind == ITERATION[0].name:
            self._show_calls()

    def on_progress(self, done: int, total: int, note: str = "") -> None:
        """A training goes on."""
        if self._training is not None:
            self._bars.update(self._training, completed=done, total=total, note=note)
        if self._step is not None:
            self._log(f"{self._step.kind}: {done}/{total} {note}", force=done == total)

    def _words(self) -> str | None:
        if self._quiet or self._step is None:
            return None
        return f"{self._campaign.name}: {self._step}, due for {duration(time.monotonic() - self._step_began)}"

    def _show_calls(self) -> None:
        """Where somebody looks: the record is not asked for what nobody is shown."""
        if self._quiet or (not notices.is_terminal and time.monotonic() - self._last_line < _LOG_INTERVAL_S):
            return
        with self._workspace.database.read() as tx:
            (row,) = overviews.campaigns(tx, self._campaign.name)
        note = counters(row)
        if self._calls is None:
            self._calls = self._bars.add_task("oracle calls", total=row.budget_calls, note=note)
        self._bars.update(self._calls, completed=row.n_charged, total=row.budget_calls, note=note)
        self._log(f"{row.n_charged}/{row.budget_calls} oracle calls, {note}")

    def _log(self, line: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._quiet or notices.is_terminal or (not force and now - self._last_line < _LOG_INTERVAL_S):
            return
        self._last_line = now
        notices.print(f"[{duration(now - self._started)}] {line}", markup=False, soft_wrap=True)


@contextmanager
def training_bar(title: str, *, is_shown: bool = True, has_units: bool = True) -> Iterator[Reporter]:
    """A bar for one training, or for stages of different units, which the note names."""
    told = ""

    def words() -> str | None:
        return f"{title}: {told or 'begun'}" if is_shown else None

    with waiting(words, is_last_word=True), _bars(is_shown=is_shown, has_units=has_units) as bars:
        task = bars.add_task(title, total=None, note="")

        def report(done: int, total: int, note: str = "") -> None:
            nonlocal told
            told = (f"{done:,}/{total:,} {note}" if has_units else note).strip()
            bars.update(task, completed=done, total=total or None, note=note)

        yield report


def _bars(*, is_shown: bool, has_units: bool = True) -> Progress:
    spinner = "dots" if notices.encoding.startswith("utf") else "line"
    columns: list[ProgressColumn] = [SpinnerColumn(spinner), TextColumn("{task.description}", markup=False)]
    columns += [BarColumn(bar_width=24), *([MofNCompleteColumn()] if has_units else []), TimeElapsedColumn()]
    columns.append(TextColumn("{task.fields[note]}", markup=False))
    return Progress(*columns, console=notices, disable=not (is_shown and notices.is_terminal))


def counters(row: CampaignProgress) -> str:
    """The four counters of a campaign and what it found, on one line."""
    return (
        f"iteration {row.n_iterations}, {row.n_finds} finds, best {text(row.best)} {row.unit}; "
        f"of {row.n_suggested} suggested: {row.n_undecodable} undecodable, "
        f"{row.n_duplicate + row.n_known} seen before, {row.n_rejected} rejected"
    )
