"""Kill a campaign and its database server at random moments; in the end every row must be that of an undisturbed run.

    python tests/soak/kill_campaign.py [--kills 20] [--budget 100] [--seed 0] [--data FOLDER]

With the real data (FOLDER holds paper/Exp1_42k.csv) the campaign runs on 42,669 band gaps, else on the starter set.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

REAL = "paper/Exp1_42k.csv"

SPEC = """\
name = "soak"
target = "band_gap > 6 eV"
seed = 5

[data]
dataset = "gaps"

[initial]
n = 100
at_most = 5.0

[budget]
oracle_calls = {budget}
suggestions_per_iteration = 4

[autoencoder]
epochs = 1
min_rows = 5000

[oracle]
n_trees = 20
"""


class Installation:
    """One home folder and the `agd` that works in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AGD_")}
        self.environment = {**clean, "AGD_HOME": str(home), "AGD_SERVER_LINGER_S": "2"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "agd", *words]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, *words: str) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=1800)
        if process.returncode:
            raise SystemExit(f"agd {' '.join(words)} ended with {process.returncode}: {err}")
        return out

    def server(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.call("db", "status", "--json"))
        return found

    def discard(self) -> None:
        cluster = Path(str(self.server()["data_directory"])).parent
        self.call("db", "stop", "--force")
        shutil.rmtree(cluster, ignore_errors=True)


def prepare(home: Path, data: Path) -> Installation:
    made = Installation(home)
    is_real = (data / REAL).is_file()
    table = data / REAL if is_real else Path(str(files("agd") / "data" / "starter.csv"))
    columns = ("composition", "Eg") if is_real else ("formula", "band_gap_ev")
    options = ["--formula-column", columns[0], "--value-column", columns[1], "--property", "band_gap", "--unit", "eV"]
    print(made.call("data", "import", str(table), "--name", "gaps", *options).strip(), flush=True)
    return made


def kill_again_and_again(made: Installation, spec: Path, kills: int, chance: random.Random, longest_s: float) -> None:
    """Run until the campaign has ended, killing the process or the server `kills` times on the way."""
    n_kills, reach_s, before = 0, longest_s, -1
    while True:
        process = made.start("run", str(spec), "--quiet") if n_kills % 2 == 0 else made.start(*resume_words(made))
        is_server = chance.random() < 0.4
        delay_s = chance.uniform(0.2, reach_s)
        if n_kills < kills:
            time.sleep(delay_s)
        if n_kills >= kills or process.poll() is not None:
            out, err = process.communicate(timeout=1800)
            if process.returncode == 0:
                if n_kills < kills:
                    print(f"the campaign ended after {n_kills} kills", flush=True)
                return
            raise SystemExit(f"agd ended with {process.returncode}: {err or out}")
        victim = server_pid(made.home) if is_server else process.pid
        if victim is None:
            victim, is_server = process.pid, False
        os.kill(victim, signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        n_kills += 1
        if "Traceback" in err:
            raise SystemExit(f"a traceback after a kill: {err}")
        steps = int(made.call("db", "psql", "-Atc", "SELECT count(*) FROM activity WHERE outcome = 'done'"))
        last = err.strip().splitlines()[-1] if is_server and err.strip() else ""
        who = "server" if is_server else "agd"
        print(f"kill {n_kills:>2}: {who:<6} after {delay_s:5.1f} s, {steps} steps recorded {last}", flush=True)
        reach_s = max(6.0, reach_s * 0.6) if steps > before else reach_s * 1.2
        before = steps


def resume_words(made: Installation) -> list[str]:
    is_open = bool(json.loads(made.call("status", "--json"))["campaigns"])
    return ["resume", "soak", "--quiet"] if is_open else ["run", str(made.home.parent / "soak.toml"), "--quiet"]


def server_pid(home: Path) -> int | None:
    status = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from agd.db.embedded import EmbeddedServer;"
            "print(EmbeddedServer(Path(sys.argv[1])).status().pid or '')",
            str(home),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return int(status) if status else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agd-soak-") as folder:
        spec = Path(folder, "soak.toml")
        spec.write_text(SPEC.format(budget=chosen.budget))
        calm = prepare(Path(folder, "calm"), chosen.data)
        started = time.monotonic()
        calm.call("run", str(spec), "--quiet")
        seconds = time.monotonic() - started
        expected = calm.call("hash", "soak").strip()
        print(f"undisturbed: {seconds:.1f} s, content hash {expected}", flush=True)
        calm.discard()
        stormy = prepare(Path(folder, "stormy"), chosen.data)
        kill_again_and_again(stormy, spec, chosen.kills, random.Random(chosen.seed), seconds / 3)
        found = stormy.call("hash", "soak").strip()
        print(f"killed:      content hash {found}")
        stormy.discard()
    if found != expected:
        raise SystemExit("the rows differ")
    print("the same rows")


main()
