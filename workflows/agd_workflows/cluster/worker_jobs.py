"""Workers as jobs of a cluster: FireWorks' queue launcher, kept busy while there is work.

A job reserves nothing: it runs `agd worker`, which takes what is ready when it starts and leaves when there is nothing.
"""

import ast
import getpass
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agd.config import writable_folder
from agd.errors import InputError, StepError

if TYPE_CHECKING:
    from fireworks.core.fworker import FWorker
    from fireworks.core.launchpad import LaunchPad
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

KINDS = {"slurm": "SLURM", "pbs": "PBS"}
UNKNOWN = "unknown"

_ID_FILE = "job_id"
_COMMAND_S = 30.0  # a busy controller answers late
_FAILURES = {"BOOT_FAIL", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
_FIRST_WAIT_S = 30.0
_LONGEST_WAIT_S = 3600.0
_PBS_STATE = 9  # column of `qstat -u`


def load_qadapter(kind: str, file: Path | None = None, options: Sequence[str] = ()) -> "CommonAdapter":
    """Read `file`, or the one that ships for `kind`; its job has this `agd` on PATH, and `options` for it.

    Raises:
        InputError: `kind` is unknown, the file is wrong, or this host cannot submit jobs.
    """
    if kind not in KINDS:
        raise InputError(f"unknown queue {kind!r}: known are {', '.join(KINDS)}")
    values = _read(kind, file)
    where = file or f"my_qadapter_{kind}.yaml"
    adapter = _adapter(values, where)
    for command in adapter.q_commands[adapter.q_type].values():
        if shutil.which(command) is None:
            raise InputError(
                f"{command} is not on PATH: run this where jobs are submitted, on a login node of the cluster"
            )
    path = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    adapter["pre_rocket"] = "\n".join([path, adapter.get("pre_rocket") or ""]).rstrip()
    adapter["rocket_launch"] = " ".join([adapter["rocket_launch"].rstrip(), *map(shlex.quote, options)])
    return adapter


def shipped_qadapter(kind: str) -> str:
    """The text of the file that ships for a kind of queue, to be edited."""
    return (files("agd_workflows") / "cluster" / "templates" / f"my_qadapter_{kind}.yaml").read_text(encoding="utf-8")


class JobLauncher:
    """Keeps up to `max_jobs` jobs of its own in the queue while there is work.

    Each job has a folder under `launch_dir` with its script, output and id, so another launcher goes on from there.
    """

    def __init__(
        self,
        launchpad: "LaunchPad",
        fworker: "FWorker",
        qadapter: "CommonAdapter",
        launch_dir: Path,
        *,
        max_jobs: int,
        say: Callable[[str], object],
        every_s: float = 0.0,
    ) -> None:
        """`say` is told what a person should know, once while it lasts; the queue is asked `every_s` at most."""
        from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
        from fireworks.utilities.fw_serializers import SAVED_FW_MODULES
        from fireworks.utilities.fw_utilities import get_fw_logger

        # FireWorks looks for the adapter's class by its name, and would import all that it ships, its tests included
        SAVED_FW_MODULES["CommonAdapter"] = CommonAdapter.__module__
        values = qadapter.to_dict()
        logdir = values.pop("logdir", None)  # FireWorks would print what it logs
        self._launchpad, self._fworker, self._qadapter = launchpad, fworker, CommonAdapter.from_dict(values)
        self._launch_dir = writable_folder(launch_dir.absolute())
        self._max_jobs, self._say, self._every_s = max_jobs, say, every_s
        self._next_look = 0.0
        self._said = self._complaint = ""
        self._n_failed, self._not_before = 0, 0.0
        self._jobs: set[str] = set()
        self._inherited = {path.read_text().strip() for path in self._launch_dir.glob(f"*/{_ID_FILE}")}
        if logdir is not None:
            for name in self._logger_names():
                folder = str(writable_folder(Path(logdir).absolute()))
                get_fw_logger(name, folder, stream_level="CRITICAL")

    def submit_missing(self) -> list[str]:
        """Submit a job for each firework that is ready and has no job to run it; the ids of the new jobs."""
        if time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + self._every_s
        self._complaint = ""
        submitted = self._submit_missing()
        if self._complaint not in {"", self._said}:
            self._say(self._complaint)
        self._said = self._complaint
        return submitted

    def jobs(self) -> frozenset[str]:
        """The jobs that were in the queue at the last look, and those submitted since."""
        return frozenset(self._jobs)

    def _submit_missing(self) -> list[str]:
        in_queue = jobs_in_queue(self._qadapter)
        if in_queue is None:
            self._complaint = f"{_status_command(self._qadapter)} does not answer: waiting for it"
            return []
        self._wait_after_failures(self._jobs - in_queue)
        self._jobs = (self._jobs | self._inherited) & in_queue
        self._inherited.clear()
        n_wanted = self._n_wanted()
        if time.monotonic() < self._not_before:
            return []
        submitted: list[str] = []
        while len(submitted) < n_wanted and (job := self._submit()):
            submitted.append(job)
        self._jobs |= set(submitted)
        return submitted

    def _wait_after_failures(self, gone: set[str]) -> None:
        """Wait where jobs fail, longer each time: the next ones may fail as well."""
        failed = sorted(job for job in gone if slurm_job_state(job) in _FAILURES)
        if failed:
            self._n_failed += 1
            wait_s = min(_FIRST_WAIT_S * 2 ** (self._n_failed - 1), _LONGEST_WAIT_S)
            self._not_before = time.monotonic() + wait_s
            output = f"{self._launch_dir}/job_*/*-{failed[0]}.*"
            self._complaint = f"job {', '.join(failed)} failed, see {output}: no new one for {wait_s:.0f} s"
        elif gone:
            self._n_failed = 0

    def _n_wanted(self) -> int:
        """Ready fireworks beyond what the jobs in the queue will run: each job works one at a time."""
        n_ready, n_running = (
            int(self._launchpad.fireworks.count_documents({**self._fworker.query, "state": state}))
            for state in ("READY", "RUNNING")
        )
        n_jobs = len(self._jobs)
        return max(0, min(n_ready, n_ready + n_running - n_jobs, self._max_jobs - n_jobs))

    def _submit(self) -> str | None:
        """One job through FireWorks' launcher; None where nothing is ready any more, or the queue refused it."""
        from fireworks.queue.queue_launcher import launch_rocket_to_queue
        from fireworks.utilities.fw_utilities import create_datestamp_dir

        folder = Path(create_datestamp_dir(str(self._launch_dir), logging.getLogger("queue.launcher"), prefix="job_"))
        last_words = _LastWords()
        loggers = [logging.getLogger(name) for name in self._logger_names()]
        for logger in loggers:
            logger.addHandler(last_words)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*is deprecated", category=FutureWarning)  # monty's cd
                job = launch_rocket_to_queue(
                    self._launchpad, self._fworker, self._qadapter, str(folder), strm_lvl="CRITICAL"
                )
        finally:
            for logger in loggers:
                logger.removeHandler(last_words)
        if job:
            (folder / _ID_FILE).write_text(f"{job}\n")
            return str(job)
        shutil.rmtree(folder)
        if job is False:
            self._complaint = f"no job was submitted: {last_words.text}"
        return None

    def _logger_names(self) -> tuple[str, str]:
        return "queue.launcher", f"qadapter.{self._qadapter.q_name}"


class _LastWords(logging.Handler):
    """Keeps why a submission failed: FireWorks only logs it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if answer := re.search(r"The error response reads: (b['\"].*)", message, flags=re.DOTALL):
            self.text = "; ".join(ast.literal_eval(answer[1].strip()).decode(errors="replace").strip().splitlines())
        elif message.startswith("Traceback") and not self.text:
            self.text = message.strip().splitlines()[-1]


def jobs_in_queue(qadapter: "CommonAdapter") -> set[str] | None:
    """This user's jobs, waiting or running; None where the queue does not answer.

    FireWorks' own count takes every job of the user for a worker, and on PBS it finds none unless a queue is named.
    """
    options = {"SLURM": ["--noheader", "--format=%A"], "PBS": []}[qadapter.q_type]
    listed = _answer([_status_command(qadapter), "-u", getpass.getuser(), *options])
    if listed is None:
        return None
    rows = [line.split() for line in listed.splitlines()]
    return {
        number[0]
        for row in rows
        if row and (number := re.match(r"\d+", row[0])) and row[_PBS_STATE : _PBS_STATE + 1] != ["C"]
    }


def slurm_job_state(job: str) -> str:
    """PENDING, RUNNING, COMPLETED, CANCELLED, TIMEOUT ... as Slurm says it; `unknown` where it says nothing.

    Slurm forgets a job soon after its end (MinJobAge, five minutes if not set).
    """
    if shutil.which("scontrol") is None:
        return UNKNOWN
    shown = _answer(["scontrol", "show", "job", job, "--oneliner"])
    state = re.search(r"\bJobState=(\w+)", shown or "")
    return state[1] if state else UNKNOWN


def this_job(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The job this process is part of, for the `env` of its FWorker, which each launch keeps; empty outside a job."""
    names = {"SLURM_JOB_ID": "slurm_job_id", "PBS_JOBID": "pbs_job_id"}
    return {key: environment[name] for name, key in names.items() if environment.get(name)}


def blame(worker: Mapping[str, str]) -> str:
    """What became of the job whose worker lost a launch, by the `env` of its FWorker; empty where it was in none."""
    state = slurm_job_state(worker["slurm_job_id"]) if "slurm_job_id" in worker else UNKNOWN
    job = worker.get("slurm_job_id") or worker.get("pbs_job_id")
    return "" if job is None else f"its job {job}" + ("" if state == UNKNOWN else f" is {state}")


def _read(kind: str, file: Path | None) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    where = file or f"my_qadapter_{kind}.yaml"
    try:
        values = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8") if file else shipped_qadapter(kind))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 text: save it as such") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{where}:{line}: not valid YAML: {error.problem}") from error
    except (YAMLError, ValueError) as error:  # the latter: a number of too many digits
        raise InputError(f"{where}: not valid YAML: {error}") from error
    except RecursionError:
        raise InputError(f"{where}: not valid YAML: it is nested too deeply") from None
    if not isinstance(values, dict):
        raise InputError(f"{where}: it must hold `key: value` lines")
    wanted = {"_fw_name": "CommonAdapter", "_fw_q_type": KINDS[kind]}
    for key, value in wanted.items():
        if values.get(key) != value:
            raise InputError(f"{where}: {key} is {values.get(key)!r}: for --queue {kind} it must be {value}")
    if not isinstance(values.get("rocket_launch"), str):
        raise InputError(f"{where}: rocket_launch is missing: what shall the job run? For instance `agd worker`")
    return values


def _adapter(values: dict[str, Any], where: Path | str) -> "CommonAdapter":
    from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            adapter: CommonAdapter = CommonAdapter.from_dict(values)
            adapter.get_script_str(".")
    except OSError as error:
        raise InputError(f"{where}: {error.filename}: cannot be read ({error.strerror})") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{where}: no queue adapter can be made of it ({error})") from error
    if caught:
        key = str(caught[0].message).split()[1]
        raise InputError(
            f"{where}: {key} is no key of the template {adapter.template_file}: see there for those it knows"
        )
    return adapter


def _status_command(qadapter: "CommonAdapter") -> str:
    return str(qadapter.q_commands[qadapter.q_type]["status_cmd"])


def _answer(words: list[str]) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_COMMAND_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def submit_command(qadapter: "CommonAdapter", folder: Path, command: str) -> str:
    """Submit a job that runs a command in a folder, where its output goes as well; its id.

    Raises:
        StepError: the queue refused it.
    """
    values = {**qadapter.to_dict(), "rocket_launch": command}
    values.pop("logdir", None)  # FireWorks would print what it logs
    job = type(qadapter).from_dict(values)
    script = folder.absolute() / "job.sh"
    script.write_text(job.get_script_str(str(script.parent)), encoding="utf-8")
    last_words, logger = _LastWords(), logging.getLogger(f"qadapter.{job.q_name}")
    logger.addHandler(last_words)
    try:
        with chdir(script.parent):
            number = job.submit_to_queue(str(script))
    finally:
        logger.removeHandler(last_words)
    if not number:
        raise StepError(f"no job was submitted: {last_words.text}")
    return str(number)
