"""A Slurm of one node for the length of one command.

    python tests/hpc/slurm_node.py COMMAND ...

Installs Debian's `slurm-wlm` and `munge` where they are missing and this is root; starts munged, slurmctld and slurmd
in a temporary folder (own key, sockets and ports: a Slurm that is there already is left alone); runs the command with
`SLURM_CONF` and `AGD_TEST_SLURM=1` set; stops everything, jobs included, and leaves with the command's exit code.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PACKAGES = ("slurm-wlm", "munge")
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
START_S = 60
STOP_S = 20

CONF = """\
ClusterName=agd
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
MinJobAge=600
KillWait=2
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000
PartitionName=debug Nodes={host} Default=YES MaxTime=60 State=UP
"""


class UnavailableError(Exception):
    """This host cannot run a Slurm; the message says why, and the cure."""


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    signal.signal(signal.SIGTERM, leave)
    try:
        with slurm_node() as environment:
            return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    except UnavailableError as error:
        print(f"slurm_node: {error}", file=sys.stderr)
        return 1


@contextmanager
def slurm_node() -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` and its kin speak to a Slurm of this node alone."""
    require_programs()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="agd-slurm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # munged wants its socket within everybody's reach
        for name in ("home", "munge", "state", "spool"):
            (folder / name).mkdir(mode=0o755)
        host = socket.gethostname().partition(".")[0]
        conf = folder / "slurm.conf"
        ctld_port, slurmd_port = free_ports()
        conf.write_text(
            CONF.format(host=host, ctld_port=ctld_port, slurmd_port=slurmd_port, folder=folder, user=user_name())
        )
        ours = {"PATH": SEARCH, "SLURM_CONF": str(conf), "AGD_TEST_SLURM": "1"}
        ours["HOME"] = str(folder / "home")  # a job's shell is a login shell: of no profile of somebody's
        environment = {**os.environ, **ours}

        start_munge(stack, folder / "munge")
        controller = ["slurmctld", "-D", "-c", "-f", str(conf)]
        node = ["slurmd", "-D", "-c", "-f", str(conf), "-N", host]
        running = [stack.enter_context(daemon(words, folder)) for words in (controller, node)]
        stack.callback(cancel_jobs, environment)
        wait_for(
            lambda: answer(["sinfo", "--noheader", "--format=%T"], environment) == "idle",
            "the node to be idle",
            running,
            folder,
        )
        yield environment


def require_programs() -> None:
    if sys.platform != "linux":
        raise UnavailableError("Slurm runs on Linux only")
    missing = [program for program in PROGRAMS if shutil.which(program, path=SEARCH) is None]
    if not missing:
        return
    lacks = f"this host has no {', '.join(missing)}"
    cure = f"install {' and '.join(PACKAGES)} by hand"
    if shutil.which("apt-get") is None:
        raise UnavailableError(f"{lacks}, and no apt-get: {cure}")
    if os.geteuid() != 0:
        raise UnavailableError(f"{lacks}, and only root may install them: {cure}, or run this as root")
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        if subprocess.run(["apt-get", "-qq", *words], env=environment, check=False, stdout=sys.stderr).returncode:
            raise UnavailableError(f"{lacks}, and `apt-get {words[0]}` failed: {cure}")


def start_munge(stack: ExitStack, folder: Path) -> None:
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    paths = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed", "key-file": "key"}
    options = [f"--{option}={folder / name}" for option, name in paths.items()]
    process = stack.enter_context(daemon(["munged", "--foreground", *options], folder))
    wait_for((folder / "socket").exists, "munge's socket", [process], folder)


@contextmanager
def daemon(words: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which(words[0], path=SEARCH) or words[0]
    with (folder / f"{words[0]}.log").open("wb") as log:
        # its own process group: Ctrl-C is for the command, and the daemons are needed to clean up after it
        process = subprocess.Popen(
            [program, *words[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(is_so: Callable[[], bool], what: str, running: list[subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while not is_so():
        if time.monotonic() > deadline or any(process.poll() is not None for process in running):
            logs = "\n".join(f"{log.name}:\n{log.read_text(errors='replace')[-2000:]}" for log in folder.glob("*.log"))
            raise UnavailableError(f"waited in vain for {what}\n{logs}")
        time.sleep(0.1)


def cancel_jobs(environment: dict[str, str]) -> None:
    """Cancel what is left and see it end: what a job started must not outlive its Slurm."""
    answer(["scancel", "--full", "--user", user_name()], environment)
    deadline = time.monotonic() + STOP_S
    while answer(["squeue", "--noheader"], environment) and time.monotonic() < deadline:
        time.sleep(0.2)


def answer(words: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout.strip()


def free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def user_name() -> str:
    import pwd  # Linux only

    return pwd.getpwuid(os.geteuid()).pw_name


def leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
