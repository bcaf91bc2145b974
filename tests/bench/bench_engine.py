"""What the queue costs: seconds per step of a campaign by the FireWorks engine, beside the local engine.

python tests/bench/bench_engine.py [--budget 40] [--rounds 3]

Both in this process, in turns, on the starter set with models that are there already, so that what is measured is
suggesting, decoding, labelling and recording, and what it takes to queue them.
"""

import argparse
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from support import empty_record

from agd import spec
from agd.loop import LocalEngine
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.work.workspace import Workspace
from agd_workflows.engine import FireWorksEngine
from agd_workflows.launching import Share, launch_all, open_queue
from agd_workflows.task_runs import lend

if TYPE_CHECKING:
    from agd.db.connection import Database

SPEC = """\
name = "{name}"
target = "band_gap > 6 eV"
[data]
dataset = "starter"
[initial]
n = 100
at_most = 5.0
[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = {budget}
suggestions_per_iteration = 4
[autoencoder]
epochs = 1
[oracle]
n_trees = 20
[sampler]
kind = "ucb"
n_warmup = 200
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    table = Path(str(files("agd") / "data" / "starter.csv"))
    with empty_record() as record, tempfile.TemporaryDirectory(prefix="agd-bench-") as folder:
        database: Database = record
        workspace = Workspace(database, Path(folder, "artifacts"))
        import_dataset(workspace, table, "starter", ImportRules("formula", "band_gap_ev", "band_gap", "eV"))
        seconds: dict[str, list[float]] = {"warm-up": [], "local": [], "fireworks": []}
        n_steps = 0
        for number in range(chosen.rounds + 1):
            for engine in ("local", "fireworks") if number else ("warm-up",):
                path = Path(folder, "campaign.toml")
                path.write_text(SPEC.format(name=f"{engine}-{number}", budget=chosen.budget))
                campaign = open_campaign(workspace, spec.read(path))
                started = time.perf_counter()
                if engine == "fireworks":
                    FireWorksEngine().submit(workspace, campaign)
                    launchpad = open_queue(workspace)
                    lend(workspace)
                    n_steps = launch_all(launchpad, Share(until_idle_s=0.0), lambda: False)
                else:
                    LocalEngine().run(workspace, campaign)
                seconds[engine].append(time.perf_counter() - started)
    local, queued = median(seconds["local"]) / n_steps, median(seconds["fireworks"]) / n_steps
    print(
        f"{n_steps} steps, median of {chosen.rounds}: local {local * 1e3:.0f} ms per step, FireWorks "
        f"{queued * 1e3:.0f} ms, ratio {queued / local:.2f}, overhead {(queued - local) * 1e3:.0f} ms per task"
    )


main()
