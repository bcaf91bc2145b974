"""Kill a campaign and its database server at random moments; in the end every row must be that of an undisturbed run.

    python tests/soak/kill_campaign.py [--kills 20] [--budget 100] [--seed 0] [--thread-variable N]
                                         [--data FOLDER]

With the real data (FOLDER holds paper/Exp1_42k.csv) the campaign runs on 42,669 band gaps, else on the starter set.
"""

import argparse
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from support import SPEC, Installation, thread_variables


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
        victim = made.server_pid() if is_server else process.pid
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--thread-variable", type=int, metavar="N", help="what the shell says of threads")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agd-soak-") as folder:
        spec = Path(folder, "soak.toml")
        spec.write_text(SPEC.format(name="soak", seed=5, budget=chosen.budget))
        calm = Installation(Path(folder, "calm"))
        calm.import_gaps(chosen.data)
        started = time.monotonic()
        calm.call("run", str(spec), "--quiet")
        seconds = time.monotonic() - started
        expected = calm.call("hash", "soak").strip()
        print(f"undisturbed: {seconds:.1f} s, content hash {expected}", flush=True)
        calm.discard()
        stormy = Installation(Path(folder, "stormy"), **thread_variables(chosen.thread_variable))
        stormy.import_gaps(chosen.data)
        kill_again_and_again(stormy, spec, chosen.kills, random.Random(chosen.seed), seconds / 3)
        found = stormy.call("hash", "soak").strip()
        print(f"killed:      content hash {found}")
        stormy.discard()
    if found != expected:
        raise SystemExit("the rows differ")
    print("the same rows")


main()
