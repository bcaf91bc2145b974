"""A small campaign on the starter set: real steps, a small autoencoder, seconds."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from agd import spec
from agd.spec import ResolvedSpec
from agd.steps.cleaning import ImportRules
from agd.steps.importing import import_dataset
from agd.steps.workspace import Workspace

STARTER = Path(str(files("agd") / "data" / "starter.csv"))

SPEC = """\
name = "{name}"
target = "{target}"
seed = 3

[data]
dataset = "starter"

[initial]
n = 30
at_most = 5.0

[budget]
oracle_calls = {budget}
suggestions_per_iteration = 8
stall_after = 8

[autoencoder]
epochs = 3
n_latent = 12
hidden = 48
min_rows = 2000

{more}
"""

DEFAULT = """\
[oracle]
n_trees = 10

[sampler]
kind = "ucb"
kappa = 5
n_warmup = 200
"""


@pytest.fixture
def starter(workspace: Workspace) -> Workspace:
    """A record that holds the starter set."""
    import_dataset(workspace, STARTER, "starter", ImportRules("formula", "band_gap_ev", "band_gap", "eV"))
    return workspace


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., ResolvedSpec]:
    """Write and read a specification."""

    def make(
        name: str = "small", target: str = "band_gap > 6 eV", budget: int = 25, more: str = DEFAULT
    ) -> ResolvedSpec:
        path = tmp_path / f"{name}.toml"
        path.write_text(SPEC.format(name=name, target=target, budget=budget, more=more))
        return spec.read(path)

    return make
