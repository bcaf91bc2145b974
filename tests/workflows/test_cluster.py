"""Jobs for a queue, with stand-ins for the commands of Slurm and PBS; `tests/hpc` has the real Slurm."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mongomock
import pytest
from fireworks import Firework, FWorker, LaunchPad, ScriptTask
from fireworks.utilities.fw_serializers import SAVED_FW_MODULES

from agd.errors import InputError
from agd_workflows.cluster.worker_jobs import (
    JobLauncher,
    blame,
    jobs_in_queue,
    load_qadapter,
    shipped_qadapter,
    slurm_job_state,
    this_job,
)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # FireWorks' pipes to sbatch

Queue = Callable[..., Path]

SQUEUE = "test -e down && exit 1; test -e queue && cat queue; true"
SBATCH = (
    'test -e refuse && { echo "sbatch: error: no such partition" >&2; exit 1; }; n=$(cat last 2>/dev/null || echo 6);'
    ' n=$((n + 1)); echo $n >last; echo $n >>queue; cp "$OLDPWD/$1" "script-$n"; echo "Submitted batch job $n"'
)
SCONTROL = 'test -e "state-$3" && echo "JobId=$3 JobState=$(cat state-$3) Reason=None" && exit; exit 1'
QSTAT = """
cat <<END

server:
                                                                 Req'd  Req'd   Elap
Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time
--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----
1234.server     ada      work     agd        --       1   1    --  04:00 Q   --
1235.server     ada      work     vasp       4242     1   1    --  04:00 R 00:10
1236.server     ada      work     agd        4243     1   1    --  04:00 C 00:10
END
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Put stand-ins on PATH; they keep what they know in a folder, which comes back."""
    folder, programs = tmp_path / "queue", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def put(**scripts: str) -> Path:
        for name, script in scripts.items():
            (programs / name).write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
            (programs / name).chmod(0o755)
        return folder

    return put


@pytest.fixture
def slurm(commands: Queue) -> Path:
    return commands(sbatch=SBATCH, squeue=SQUEUE, scontrol=SCONTROL)


@pytest.fixture
def launchpad(monkeypatch: pytest.MonkeyPatch) -> LaunchPad:
    monkeypatch.setattr("fireworks.core.launchpad.MongoClient", mongomock.MongoClient)
    monkeypatch.setattr("fireworks.core.launchpad.GRIDFS_FALLBACK_COLLECTION", None)
    monkeypatch.setitem(SAVED_FW_MODULES, "ScriptTask", ScriptTask.__module__)
    made = LaunchPad(name="cluster", strm_lvl="CRITICAL")
    made.reset("", require_password=False)
    return made


def add(launchpad: LaunchPad, n: int) -> None:
    for _ in range(n):
        launchpad.add_wf(Firework(ScriptTask.from_str("true")))


class Started:
    """A launcher that keeps what it says."""

    def __init__(self, launchpad: LaunchPad, folder: Path, max_jobs: int = 3) -> None:
        self.said: list[str] = []
        self.launcher = JobLauncher(
            launchpad, FWorker(), load_qadapter("slurm"), folder, max_jobs=max_jobs, say=self.said.append
        )

    def submit(self) -> list[str]:
        return self.launcher.submit_missing()


def script_lines(kind: str, file: Path | None = None, options: tuple[str, ...] = ()) -> list[str]:
    return str(load_qadapter(kind, file, options).get_script_str("/scratch/job")).splitlines()


def test_the_slurm_file_that_ships_makes_a_script(slurm: Path) -> None:
    lines = script_lines("slurm", options=("--campaign", "wide gap"))
    assert [line for line in lines if line.startswith("#SBATCH")] == [
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --time=04:00:00",
        "#SBATCH --job-name=agd",
        "#SBATCH --output=agd-%j.out",
        "#SBATCH --error=agd-%j.error",
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --mem-per-cpu=4G",
    ]
    body = [line for line in lines if line and not line.startswith("#")]
    assert body[0] == f'export PATH={Path(sys.executable).parent}:"$PATH"'
    assert body[1:] == [
        "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
        "cd /scratch/job",
        "exec agd worker --until-idle 60 --campaign 'wide gap'",
    ]
    assert slurm.is_dir()


def test_the_pbs_file_that_ships_makes_a_script(commands: Queue) -> None:
    commands(qsub="true", qstat="true")
    lines = script_lines("pbs")
    assert [line.rstrip() for line in lines if line.startswith("#PBS")] == [
        "#PBS -l nodes=1:ppn=1",
        "#PBS -l walltime=04:00:00",
        "#PBS -N agd",
        "#PBS -o FW_job.out",
        "#PBS -e FW_job.error",
        "#PBS -V",
    ]
    assert [line for line in lines if "agd worker" in line] == ["exec agd worker --until-idle 60"]


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_the_script_is_one_that_bash_can_read(kind: str, commands: Queue, tmp_path: Path) -> None:
    commands(sbatch="true", squeue="true", qsub="true", qstat="true")
    script = tmp_path / "script"
    script.write_text("\n".join(script_lines(kind)))
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_fireworks_finds_the_tasks_with_the_settings_that_ship(tmp_path: Path) -> None:
    from importlib.resources import as_file, files

    program = "from fireworks import fw_config as c, FWorker; print(c.USER_PACKAGES[-1], FWorker.auto_load().name)"
    with as_file(files("agd_workflows") / "cluster" / "templates") as folder:
        environment = {**os.environ, "FW_CONFIG_FILE": str(folder / "FW_config.yaml"), "HOME": str(tmp_path)}
        (tmp_path / "my_fworker.yaml").write_text((folder / "my_fworker.yaml").read_text())
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["agd_workflows", "agd"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [1\nb: 2\n", r"my\.yaml:2: not valid YAML"),
        ("just words", "must hold `key: value` lines"),
        ("_fw_name: Other\n", "_fw_name is 'Other'.* must be CommonAdapter"),
        ("_fw_name: CommonAdapter\n_fw_q_type: PBS\n", "_fw_q_type is 'PBS'.* must be SLURM"),
        ("_fw_name: CommonAdapter\n_fw_q_type: SLURM\n", "rocket_launch is missing"),
        (shipped_qadapter("slurm") + "partition: debug\n", "partition is no key of the template"),
        (shipped_qadapter("slurm") + "_fw_template_file: /no/such\n", "/no/such: cannot be read"),
        (shipped_qadapter("slurm") + "_q_commands_override: 3\n", "no queue adapter"),
    ],
)
def test_a_wrong_file_is_refused(text: str, complaint: str, slurm: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=complaint):
        load_qadapter("slurm", file)
    assert slurm.is_dir()


def test_what_cannot_be_used_is_refused(commands: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    with pytest.raises(InputError, match="unknown queue 'lsf': known are slurm, pbs"):
        load_qadapter("lsf")
    with pytest.raises(InputError, match="sbatch is not on PATH"):
        load_qadapter("slurm")
    commands(sbatch="true")
    with pytest.raises(InputError, match="squeue is not on PATH"):
        load_qadapter("slurm")
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        load_qadapter("slurm", tmp_path / "none.yaml")


def test_a_job_for_each_ready_firework_and_no_more(slurm: Path, launchpad: LaunchPad, tmp_path: Path) -> None:
    started = Started(launchpad, tmp_path / "launch")
    assert started.submit() == []
    add(launchpad, 2)
    assert started.submit() == ["7", "8"]
    assert started.submit() == []
    add(launchpad, 5)
    assert started.submit() == ["9"], "three jobs at most"
    assert started.launcher.jobs() == {"7", "8", "9"}
    launchpad.checkout_fw(FWorker(), str(tmp_path))
    (slurm / "queue").write_text("8\n9\n4711\n")  # one is done; the last is of another launcher
    assert started.submit() == ["10"]
    assert started.said == []
    script = (slurm / "script-10").read_text()
    folder = next(line for line in script.splitlines() if line.startswith("cd ")).removeprefix("cd ")
    assert (Path(folder) / "job_id").read_text() == "10\n"
    assert len(list((tmp_path / "launch").iterdir())) == 4


def test_a_job_that_works_is_not_one_that_waits(slurm: Path, launchpad: LaunchPad, tmp_path: Path) -> None:
    started = Started(launchpad, tmp_path / "launch")
    add(launchpad, 2)
    assert len(started.submit()) == 2
    for _ in range(2):
        launchpad.checkout_fw(FWorker(), str(tmp_path))
    add(launchpad, 1)
    assert len(started.submit()) == 1, "the two others are busy"
    assert slurm.is_dir()


def test_another_launcher_goes_on_with_the_jobs_it_finds(slurm: Path, launchpad: LaunchPad, tmp_path: Path) -> None:
    add(launchpad, 2)
    assert Started(launchpad, tmp_path / "launch").submit() == ["7", "8"]
    (slurm / "queue").write_text("8\n")
    second = Started(launchpad, tmp_path / "launch")
    assert second.submit() == ["9"]
    assert second.launcher.jobs() == {"8", "9"}


def test_a_queue_that_is_away_is_said_once(slurm: Path, launchpad: LaunchPad, tmp_path: Path) -> None:
    started = Started(launchpad, tmp_path / "launch")
    add(launchpad, 1)
    (slurm / "down").touch()
    assert [started.submit(), started.submit()] == [[], []]
    assert started.said == ["squeue does not answer: waiting for it"]
    (slurm / "down").unlink()
    assert started.submit() == ["7"]
    (slurm / "down").touch()
    assert started.submit() == []
    assert started.said == ["squeue does not answer: waiting for it"] * 2


def test_a_refused_job_is_said_in_the_words_of_the_queue(slurm: Path, launchpad: LaunchPad, tmp_path: Path) -> None:
    started = Started(launchpad, tmp_path / "launch")
    add(launchpad, 2)
    (slurm / "refuse").touch()
    assert [started.submit(), started.submit()] == [[], []]
    assert started.said == ["no job was submitted: sbatch: error: no such partition"]
    assert list((tmp_path / "launch").iterdir()) == []
    (slurm / "refuse").unlink()
    assert started.submit() == ["7", "8"]


def test_jobs_that_fail_are_not_followed_at_once(
    slurm: Path, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("agd_workflows.cluster.worker_jobs.time.monotonic", lambda: now)
    started = Started(launchpad, tmp_path / "launch", max_jobs=1)
    add(launchpad, 1)
    for job, wait_s in (("7", 30), ("8", 60), ("9", 120)):
        assert started.submit() == [job]
        (slurm / "queue").write_text("")
        (slurm / f"state-{job}").write_text("FAILED")
        assert started.submit() == []
        assert started.said.pop().endswith(f"no new one for {wait_s} s")
        now += wait_s
    assert started.submit() == ["10"]
    (slurm / "queue").write_text("")
    (slurm / "state-10").write_text("TIMEOUT")
    assert started.submit() == ["11"]
    assert started.said == []


def test_the_queue_is_not_asked_all_the_time(
    slurm: Path, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("agd_workflows.cluster.worker_jobs.time.monotonic", lambda: now)
    launcher = JobLauncher(
        launchpad, FWorker(), load_qadapter("slurm"), tmp_path / "launch", max_jobs=3, say=print, every_s=60
    )
    assert launcher.submit_missing() == []
    add(launchpad, 1)
    now += 59
    assert launcher.submit_missing() == []
    now += 1
    assert launcher.submit_missing() == ["7"]
    assert slurm.is_dir()


def test_logdir_is_made_and_written(
    slurm: Path, launchpad: LaunchPad, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(
        shipped_qadapter("slurm").replace("logdir: null", f"_fw_q_name: logged\nlogdir: {tmp_path / 'logs'}")
    )
    launcher = JobLauncher(
        launchpad, FWorker(), load_qadapter("slurm", file), tmp_path / "launch", max_jobs=1, say=print
    )
    add(launchpad, 1)
    assert launcher.submit_missing() == ["7"]
    assert "job_id is 7" in (tmp_path / "logs" / "qadapter_logged-debug.log").read_text()
    assert capsys.readouterr().out == ""
    assert slurm.is_dir()


def test_the_state_of_a_job(slurm: Path) -> None:
    (slurm / "state-7").write_text("CANCELLED")
    assert slurm_job_state("7") == "CANCELLED"
    assert slurm_job_state("8") == "unknown"


def test_without_slurm_the_state_of_a_job_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm_job_state("7") == "unknown"


def test_the_jobs_of_pbs_are_counted_without_those_that_are_complete(commands: Queue) -> None:
    commands(qsub="true", qstat=QSTAT)
    assert jobs_in_queue(load_qadapter("pbs")) == {"1234", "1235"}


def test_a_lost_run_is_blamed_on_its_job(slurm: Path) -> None:
    (slurm / "state-7").write_text("TIMEOUT")
    assert blame(this_job({"SLURM_JOB_ID": "7", "HOME": "/"})) == "its job 7 is TIMEOUT"
    assert blame(this_job({"SLURM_JOB_ID": "8"})) == "its job 8"
    assert blame(this_job({"PBS_JOBID": "12.server"})) == "its job 12.server"
    assert blame(this_job({"HOME": "/"})) == ""
