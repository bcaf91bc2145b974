"""Kill workers, their supervisor and the database server at random moments; nothing may be lost, doubled or misplaced.

    python tests/soak/kill_workers.py [--kills 200] [--workers 4] [--budget 900] [--seed 0] [--thread-variable N]
                                      [--data FOLDER]

Campaigns go through the queue one after another, each with a seed of its own, beside a generation of formulas and a
screening by the campaign before, while somebody kills, stops and interrupts and an operator restarts what has to be
restarted by hand. Each must give the content hash that it has when nobody disturbs it and this process does it, and no
minute may go by in which nothing is recorded.
"""

import argparse
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from support import SPEC, Installation, thread_variables

# Sixty times the pace of the defaults, but for the lease: like the default it outlasts the new start of a server, so
# that a step goes on over it. With less, each of the many hits of the server would begin the step again.
PACE = {"AGD_HEARTBEAT_S": "0.5", "AGD_LEASE_S": "6", "AGD_RECONCILE_S": "1"}
LEASE_S = float(PACE["AGD_LEASE_S"])
LONGEST_S = 300.0

# Who is hit, how, and how often of a hundred times; a worker that is stopped wakes after its lease ran out.
EVENTS = {
    ("worker", signal.SIGKILL): 45,
    ("worker", signal.SIGSTOP): 15,
    ("supervisor", signal.SIGKILL): 5,
    ("server", signal.SIGKILL): 15,
    ("server", signal.SIGINT): 12,
    ("server's supervisor", signal.SIGKILL): 8,
}

CHECKS = {
    "labels lost": "SELECT count(*) FROM suggestion s JOIN campaign k ON k.id = s.campaign_id"
    " WHERE k.ended_at IS NOT NULL AND s.outcome = 'new' AND s.label_id IS NULL",
    "labels doubled": "SELECT count(*) FROM (SELECT FROM label GROUP BY composition_id, property, dataset_id,"
    " model_version_id, measurement_id HAVING count(*) > 1) x",
    "compositions charged twice": "SELECT count(*) FROM (SELECT FROM suggestion WHERE outcome = 'new'"
    " GROUP BY campaign_id, composition_id HAVING count(*) > 1) x",
    "labels on the wrong composition": "SELECT count(*) FROM suggestion s JOIN label l ON l.id = s.label_id"
    " WHERE l.composition_id <> s.composition_id",
    "steps done twice": "SELECT count(*) FROM (SELECT FROM activity WHERE outcome = 'done' AND lease_expires_at IS NOT"
    " NULL AND campaign_id IS NOT NULL GROUP BY campaign_id, kind, iteration_id HAVING count(*) > 1) x",
    "requests done twice": "SELECT count(*) FROM (SELECT FROM activity WHERE outcome = 'done' AND campaign_id IS NULL"
    " AND job_id IS NOT NULL GROUP BY job_id HAVING count(*) > 1) x",
    "leases stuck": "SELECT count(*) FROM v_lease",
}


class Storm:
    """A worker with its children, the one who kills, and the operator who restarts."""

    def __init__(self, made: Installation, n_workers: int, chance: random.Random) -> None:
        self.made, self.n_workers, self.chance = made, n_workers, chance
        self.log = (made.home.parent / "worker.log").open("ab")
        self.worker: subprocess.Popen[bytes] | None = None
        self.events: Counter[str] = Counter()
        self.stopped: dict[int, float] = {}
        self.n_restarts = 0

    def keep_up(self) -> None:
        """The operator's part: the worker runs."""
        if self.worker is None or self.worker.poll() is not None:
            self.n_restarts += self.worker is not None
            words = self.made.command("worker", "-n", str(self.n_workers))
            self.worker = subprocess.Popen(words, env=self.made.environment, stdout=self.log, stderr=self.log)

    def strike(self) -> bool:
        """Hit a random one of them; whether there was one."""
        assert self.worker is not None
        [(who, number)] = self.chance.choices(list(EVENTS), list(EVENTS.values()))
        victim: int | None = self.worker.pid
        if who == "worker":
            children = [pid for pid in _children(self.worker.pid) if pid not in self.stopped]
            victim = self.chance.choice(children) if children else None
        elif who == "server":
            victim = self.made.server_pid()
        elif who == "server's supervisor":
            victim = self.made.server_supervisor_pid()
        if victim is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(victim, number)
            self.events[f"{number.name} {who}"] += 1
            if number is signal.SIGSTOP:
                self.stopped[victim] = time.monotonic() + self.chance.uniform(1.5, 4.0) * LEASE_S
            return True
        return False

    def wake(self, *, all_of_them: bool = False) -> None:
        """Let those go on that slept long enough."""
        for pid, until in list(self.stopped.items()):
            if all_of_them or time.monotonic() > until:
                del self.stopped[pid]
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        """Let the worker leave."""
        self.wake(all_of_them=True)
        if self.worker is not None:
            self.worker.terminate()
            self.worker.wait(timeout=120)
        self.log.close()

    def ask(self, *words: str) -> str:
        """Run a command as often as an operator would while the server is being restarted."""
        for _ in range(20):
            process = self.made.start(*words)
            out, err = process.communicate(timeout=600)
            if process.returncode == 0:
                return out
            if "Traceback" in err:
                raise SystemExit(f"agd {' '.join(words)}: a traceback: {err}")
            time.sleep(0.5)
        raise SystemExit(f"agd {' '.join(words)} ended with {process.returncode}: {err}")


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in found.split()]


def weather(storm: Storm, name: str, strikes: int) -> tuple[int, float]:
    """Strike up to `strikes` times until the campaign has ended; how often, and the longest standstill in seconds."""
    n, started = 0, time.monotonic()
    n_done, moved, longest_s = -1, started, 0.0
    while True:
        storm.keep_up()
        time.sleep(storm.chance.uniform(2.0, 12.0) if n < strikes else 0.5)
        storm.wake()
        [row] = storm.made.rows(
            "SELECT ended_at, parked_reason, (SELECT count(*) FROM activity WHERE outcome = 'done') AS n_done"
            f" FROM campaign WHERE name = '{name}'"
        )
        longest_s = max(longest_s, time.monotonic() - moved)
        if row.n_done != n_done:
            n_done, moved = row.n_done, time.monotonic()
        if row.ended_at is not None:
            return n, longest_s
        if row.parked_reason is not None:
            print(f"{name}: {row.parked_reason}; resumed by hand", flush=True)
            storm.ask("resume", name, "--detach")
        if n < strikes:
            n += storm.strike()
        if time.monotonic() - started > LONGEST_S + 15 * strikes:
            raise SystemExit(f"{name} does not come to its end: {storm.ask('status', name, '--json')}")


class Beside:
    """What is generated and screened beside the campaigns: once calm, once in the queue of the storm."""

    GENERATOR = ("-o", "warm_up_epochs=3", "-o", "iterations=5", "-o", "critic_head_start=5")
    SCREENER = ("-o", "n_trees=20")

    def __init__(self, calm: Installation, storm: Storm, n_samples: int) -> None:
        self.calm, self.storm, self.n_samples = calm, storm, n_samples
        for installation in (calm, storm.made):
            installation.call("train", "generator", "--dataset", "gaps", *self.GENERATOR)
        self.generations: list[str] = []
        self.screened: list[str] = []
        self.ended: list[str] = []

    def generate(self, name: str, seed: int) -> None:
        """Draw a data set of that name here, and leave it to the workers there."""
        words = ("generate", name, "-n", str(self.n_samples), "--seed", str(seed))
        self.calm.call(*words)
        self.storm.ask(*words, "--detach")
        self.generations.append(name)

    def screen(self, campaign: str) -> None:
        """Screen a pool by a campaign that has ended here, and leave it to the workers there."""
        words = ("screen", campaign, "--pool", "gaps", *self.SCREENER)
        self.calm.call(*words)
        self.storm.ask(*words, "--detach")
        self.screened.append(campaign)

    def wait(self) -> int:
        """Until the storm has done them all, for so long at most; how many are lacking."""
        end = time.monotonic() + LONGEST_S
        while (n_lacking := self._n_lacking()) and time.monotonic() < end:
            for row in self.storm.made.rows("SELECT id, title, reason FROM v_job WHERE state = 'parked'"):
                print(f"{row.title}: {row.reason}; tried again by hand", flush=True)
                self.storm.ask("jobs", "retry", str(row.id))
            self.storm.keep_up()
            self.storm.wake()
            time.sleep(1)
        return n_lacking

    def _n_lacking(self) -> int:
        query = "SELECT (SELECT count(*) FROM generation) + (SELECT count(DISTINCT campaign_id) FROM screening) AS n"
        return len(self.generations) + len(self.screened) - int(self.storm.made.rows(query)[0].n)

    def differing(self) -> list[str]:
        """Names of what came out otherwise in the storm."""
        query = "SELECT d.name, h.sha256 FROM dataset_hash h JOIN dataset d ON d.id = h.dataset_id"
        expected, found = (
            {row.name: row.sha256 for row in installation.rows(query)} for installation in (self.calm, self.storm.made)
        )
        differing = [name for name in self.generations if expected[name] != found.get(name)]
        for name in self.screened:
            words = ("hash", name, "--with-later")
            if self.calm.call(*words).strip() != self.storm.ask(*words).strip():
                differing.append(f"screening of {name}")
        return differing


def campaign_in_the_storm(beside: Beside, seed: int, budget: int, strikes: int) -> tuple[int, float, bool]:
    """Strikes at a campaign of that seed, the longest standstill in seconds, and whether its rows are right."""
    name, calm, storm = f"storm-{seed}", beside.calm, beside.storm
    spec = calm.home.parent / f"{name}.toml"
    spec.write_text(SPEC.format(name=name, seed=seed, budget=budget))
    calm.call("run", str(spec), "--quiet")
    storm.ask("run", str(spec), "--engine", "fireworks", "--detach")
    beside.generate(f"drawn-{seed}", seed)
    for before in beside.ended:
        beside.screen(before)
    beside.ended = []
    n, standstill_s = weather(storm, name, strikes)
    beside.ended.append(name)
    return n, standstill_s, calm.call("hash", name) == storm.ask("hash", name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--per-campaign", type=int, default=67)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--budget", type=int, default=900)
    parser.add_argument("--samples", type=int, default=60_000, help="of each generation beside a campaign")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--standstill", type=float, default=60.0, help="seconds that may go by with nothing recorded")
    parser.add_argument("--thread-variable", type=int, metavar="N", help="what the shell says of threads")
    parser.add_argument("--data", type=Path, help="run on the real band gaps of this folder")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="agd-storm-") as folder:
        calm = Installation(Path(folder, "calm"), **PACE)
        calm.import_gaps(chosen.data)
        stormy = Installation(Path(folder, "stormy"), **PACE, **thread_variables(chosen.thread_variable))
        stormy.import_gaps(chosen.data)
        storm = Storm(stormy, chosen.workers, random.Random(chosen.seed))
        beside = Beside(calm, storm, chosen.samples)
        n_kills, seed, differ, longest_s = 0, 5, 0, 0.0
        try:
            while n_kills < chosen.kills:
                seed += 1
                n, standstill_s, is_same = campaign_in_the_storm(
                    beside, seed, chosen.budget, min(chosen.per_campaign, chosen.kills - n_kills)
                )
                n_kills, longest_s, differ = n_kills + n, max(longest_s, standstill_s), differ + (not is_same)
                verdict = "the same rows" if is_same else "OTHER rows than undisturbed"
                how = f"{n} kills, longest standstill {standstill_s:.0f} s"
                print(f"[{time.monotonic() - started:6.0f} s] storm-{seed}: {how}, {verdict}", flush=True)
            n_lacking, differing = beside.wait(), beside.differing()
        finally:
            storm.end()
        counts = {title: stormy.rows(query)[0][0] for title, query in CHECKS.items()}
        attempts = stormy.rows("SELECT outcome, count(*) AS n FROM v_attempt GROUP BY 1 ORDER BY 1")
        calm.discard()
        stormy.discard()
    print(
        f"{n_kills} kills ({', '.join(f'{n} {event}' for event, n in storm.events.most_common())}), "
        f"{storm.n_restarts} restarts by hand, longest standstill {longest_s:.0f} s, "
        f"attempts: {', '.join(f'{row.n} {row.outcome}' for row in attempts)}"
    )
    for title, n in counts.items():
        print(f"{n:>6} {title}")
    print(f"{differ:>6} campaigns with other rows than undisturbed")
    print(f"{n_lacking:>6} of {len(beside.generations)} generations and {len(beside.screened)} screenings not done")
    print(f"{len(differing):>6} of them with other rows than undisturbed{''.join(f', {name}' for name in differing)}")
    if differ or n_lacking or differing or any(counts.values()):
        raise SystemExit("rows were lost, doubled or changed")
    if longest_s > chosen.standstill:
        raise SystemExit(f"nothing was recorded for {longest_s:.0f} s")


main()
