"""Campaigns with plug-ins that another distribution brings, made by nothing but the protocols."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from agd import registry, spec
from agd.errors import SpecError
from agd.loop import LocalEngine
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_dataset
from agd.steps.models.plugin_options import parse
from agd.steps.models.training_sets import corpus, find_dataset
from agd.steps.screening.screening import ScreenerChoice, train_screener
from agd.work.workspace import Workspace

PLUGINS = """
import numpy as np
from pydantic import Field

from agd.errors import InputError
from agd.progress import silent
from agd.protocols import Options
from agd.types import Decoded, FittedModel, Prediction


class PlainOptions(Options):
    most_atoms: int = Field(300, ge=1, description="Most atoms of a formula.")


class Plain:
    '''Counts of all 103 elements, ten times smaller.'''

    options_type = PlainOptions
    architecture_version = 1
    n_latent = 103

    @classmethod
    def fit(cls, table, options, *, seed, progress=silent):
        if not cls.is_representable(table.counts, options).all():
            raise InputError("a row has too many atoms")
        return FittedModel({"scale": np.array([10.0])}, {"n_rows": float(len(table.counts))})

    @classmethod
    def load(cls, tensors, options):
        return cls()

    @classmethod
    def is_representable(cls, counts, options):
        return counts.any(axis=1) & (counts.sum(axis=1) <= options.most_atoms)

    def encode(self, counts):
        return (counts / 10.0).astype(np.float32)

    def decode(self, latents):
        counts = np.maximum(np.rint(latents * 10.0 - 0.4), 0).astype(np.int32)
        counts[:, 50:60] = 0
        return Decoded(counts, dict.fromkeys(np.nonzero(~counts.any(axis=1))[0].tolist(), "nothing is left"))


class NoOptions(Options):
    pass


class Mean:
    '''The mean of what it saw, whatever is asked.'''

    options_type = NoOptions
    architecture_version = 1

    def __init__(self, mean):
        self.mean = mean

    @classmethod
    def fit(cls, table, options, *, seed, progress=silent):
        return FittedModel({"mean": table.values[~table.is_held_out].mean(keepdims=True)}, {})

    @classmethod
    def load(cls, tensors, options):
        return cls(float(tensors["mean"][0]))

    def label(self, counts):
        return Prediction(np.full(len(counts), self.mean), np.ones(len(counts)))
"""

RARE = [f"{metal}{other}" for metal in ("Rn", "Fr", "Ra", "Po", "Es", "Lr", "Cm") for other in ("F", "Cl", "O2")]
PLAIN = [f"{metal}{other}" for metal in ("Li", "Na", "K", "Mg", "Ca") for other in ("F", "Cl", "O2")]
LARGE = ["Na250Cl", "Na350Cl"]

SPEC = """\
name = "abroad"
target = "band_gap > 6 eV"

[data]
dataset = "rare"

[initial]
n = {n}

[filter]
is_neutral_in_common_states = false

[budget]
oracle_calls = 6
suggestions_per_iteration = 3
stall_after = 2

[autoencoder]
kind = "plain"
{options}

[oracle]
{oracle}

[sampler]
{sampler}
"""


@pytest.fixture
def abroad(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A record with a dataset beyond the 87 elements, and a distribution with an autoencoder for it."""
    site = tmp_path / "site"
    info = site / "abroad-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: abroad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[agd.generators]\nplain = abroad_plugins:Plain\n[agd.oracles]\nmean = abroad_plugins:Mean\n"
    )
    (site / "abroad_plugins.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    registry.installed.cache_clear()
    rows = [f"{formula},{i % 7}.5" for i, formula in enumerate([*RARE, *PLAIN, *LARGE])]
    (tmp_path / "rare.csv").write_text("\n".join(["formula,gap", *rows]) + "\n")
    import_dataset(workspace, tmp_path / "rare.csv", "rare", ImportRules("formula", "gap", "band_gap", "eV"))
    yield workspace
    sys.modules.pop("abroad_plugins", None)
    registry.installed.cache_clear()


@pytest.fixture
def specified(tmp_path: Path) -> Callable[..., spec.ResolvedSpec]:
    """Write and read a specification."""

    def make(
        n: int = 20, options: str = "", sampler: str = 'kind = "random"', oracle: str = "n_trees = 5"
    ) -> spec.ResolvedSpec:
        path = tmp_path / "abroad.toml"
        path.write_text(SPEC.format(n=n, options=options, sampler=sampler, oracle=oracle))
        return spec.read(path)

    return make


def formulas(workspace: Workspace, role: str) -> set[str]:
    with workspace.database.read() as tx:
        query = (
            "SELECT c.reduced_formula FROM campaign_set s JOIN training_set_member m USING (training_set_id)"
            " JOIN composition c ON c.id = m.composition_id WHERE s.role = :role"
        )
        return set(tx.execute(text(query), {"role": role}).scalars())


def test_its_own_vocabulary_decides_what_is_learned_and_encoded(
    abroad: Workspace, specified: Callable[..., spec.ResolvedSpec]
) -> None:
    campaign = open_campaign(abroad, specified(n=37))
    assert formulas(abroad, "autoencoder") == formulas(abroad, "initial")
    assert len(formulas(abroad, "initial")) == 37
    assert {"Na250Cl", "RaO2"} < formulas(abroad, "initial")
    assert "Na350Cl" not in formulas(abroad, "autoencoder")
    assert campaign.spec.autoencoder.kind == "plain"


@pytest.mark.parametrize("sampler", ["random", "ucb", "substitution", "pool"])
def test_a_campaign_runs_with_it(abroad: Workspace, specified: Callable[..., spec.ResolvedSpec], sampler: str) -> None:
    more = {"ucb": "n_warmup = 50", "pool": 'pool = "rare"'}.get(sampler, "")
    campaign = open_campaign(abroad, specified(sampler=f'kind = "{sampler}"\n{more}'))
    assert LocalEngine().run(abroad, campaign).is_ended
    with abroad.database.read() as tx:
        assert tx.scalar(text("SELECT count(*) FROM v_suggestion WHERE outcome = 'new'")) == 6
        query = (
            "SELECT count(*) FROM latent JOIN composition c ON c.id = composition_id WHERE c.reduced_formula = ANY(:r)"
        )
        assert tx.scalar(text(query), {"r": RARE}) > 0


def test_its_options_bound_it(abroad: Workspace, specified: Callable[..., spec.ResolvedSpec]) -> None:
    with pytest.raises(SpecError, match=r"abroad.toml:8: initial.n: 10 rows wanted, 0 of 'rare' fit the rule"):
        open_campaign(abroad, specified(n=10, options="most_atoms = 1"))
    open_campaign(abroad, specified(n=10, options="most_atoms = 2"))
    assert all(len(formula) <= 4 for formula in formulas(abroad, "autoencoder"))


def test_by_hand_it_learns_from_the_same_rows(abroad: Workspace) -> None:
    options = parse("agd.generators", "plain", ["most_atoms=2"])
    with abroad.database.read() as tx:
        parts = corpus(tx, find_dataset(tx, "rare"), "plain", options, share=0.0, seed=0)
    assert {member.reduced_formula for part in parts for member in part.members} == {
        formula for formula in (*RARE, *PLAIN) if not formula.endswith("O2")
    }


def test_an_oracle_without_options_is_sent_none(abroad: Workspace, specified: Callable[..., spec.ResolvedSpec]) -> None:
    campaign = open_campaign(abroad, specified(oracle='kind = "mean"'))
    assert LocalEngine().run(abroad, campaign).is_ended
    own = train_screener(abroad, campaign, "al", ScreenerChoice("mean"))
    assert own.recipe.options.model_dump() == {}
    forest = ScreenerChoice("random_forest").recipe(campaign).options.model_dump()
    assert (forest["n_trees"], forest["minimum"]) == (200, None)
