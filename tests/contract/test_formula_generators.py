"""What every installed generator of formulas promises, checked on all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from agd.chem.enumeration import charge_balanced
from agd.chem.formula import parse_formula
from agd.errors import InputError
from agd.nets.checkpoint import load_tensors, save_tensors
from agd.plugins import formula_vocabulary
from agd.protocols import FormulaGenerator, Options
from agd.types import FittedModel, Tensors, TrainingTable

RefusesDamage = Callable[[Tensors, Callable[[Tensors], object]], None]

SEED = 7
SMALL = {
    "state": 32,
    "hidden": 32,
    "warm_up_epochs": 2,
    "critic_hidden": 32,
    "critic_head_start": 2,
    "iterations": 3,
    "batch": 16,
}


@pytest.fixture(scope="module", autouse=True)
def few_are_measured() -> Iterator[None]:
    """Metrics of fewer samples than a user gets: the published network makes a thousand in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formula_vocabulary, "N_MEASURED", 200)
        yield


def small_options(plugin: type[FormulaGenerator]) -> Options:
    """What fits the corpus in seconds; options that a plug-in does not have are left out."""
    known = plugin.options_type.model_fields
    return plugin.options_type.model_validate({name: value for name, value in SMALL.items() if name in known})


def corpus(plugin: type[FormulaGenerator]) -> TrainingTable:
    counts = charge_balanced(400, seed=SEED, max_count=8)
    counts = counts[plugin.is_representable(counts)]
    return TrainingTable(counts, None, np.arange(len(counts)) % 5 == 0)


@dataclass(frozen=True)
class Trained:
    plugin: type[FormulaGenerator]
    options: Options
    table: TrainingTable
    fitted: FittedModel
    model: FormulaGenerator


@pytest.fixture(
    scope="module", params=sorted(entry_points(group="agd.formula_generators")), ids=lambda entry: entry.name
)
def trained(request: pytest.FixtureRequest) -> Trained:
    plugin = request.param.load()
    options = small_options(plugin)
    table = corpus(plugin)
    fitted = plugin.fit(table, options, seed=SEED)
    return Trained(plugin, options, table, fitted, plugin.load(fitted.tensors, options))


def test_it_has_the_shape_of_a_generator_of_formulas(trained: Trained) -> None:
    assert isinstance(trained.model, FormulaGenerator)
    assert trained.plugin.architecture_version >= 1


def test_every_option_has_a_default_and_a_description(trained: Trained) -> None:
    for name, field in trained.plugin.options_type.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name
    assert trained.plugin.options_type()


def test_the_same_seed_gives_the_same_tensors_and_another_seed_others(trained: Trained) -> None:
    one, again, other = (trained.plugin.fit(trained.table, trained.options, seed=seed) for seed in (1, 1, 2))
    assert again.tensors.keys() == one.tensors.keys()
    for name, tensor in again.tensors.items():
        assert tensor.tobytes() == one.tensors[name].tobytes(), name
    assert again.metrics == one.metrics
    assert any(one.tensors[name].tobytes() != tensor.tobytes() for name, tensor in other.tensors.items())


def test_held_out_rows_are_never_seen(trained: Trained) -> None:
    counts = trained.table.counts.copy()
    rows = np.nonzero(trained.table.is_held_out)[0]
    counts[rows] = parse_formula("NaCl")
    other = trained.plugin.fit(TrainingTable(counts, None, trained.table.is_held_out), trained.options, seed=SEED)
    for name, tensor in trained.fitted.tensors.items():
        assert tensor.tobytes() == other.tensors[name].tobytes(), name


def test_the_rows_it_trains_on_matter(trained: Trained) -> None:
    is_held_out = np.arange(len(trained.table.counts)) % 2 == 0
    other = trained.plugin.fit(TrainingTable(trained.table.counts, None, is_held_out), trained.options, seed=SEED)
    assert any(trained.fitted.tensors[name].tobytes() != tensor.tobytes() for name, tensor in other.tensors.items())


def test_metrics_are_finite_numbers(trained: Trained) -> None:
    assert trained.fitted.metrics
    assert all(np.isfinite(value) for value in trained.fitted.metrics.values())


def test_progress_runs_from_start_to_end_with_notes(trained: Trained) -> None:
    told: list[tuple[int, int, str]] = []
    trained.plugin.fit(trained.table, trained.options, seed=SEED, progress=lambda *report: told.append(report))
    done = [report[0] for report in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert len({total for _, total, _ in told}) == 1
    assert all(note for _, _, note in told)


def test_a_stored_model_makes_the_same_samples(trained: Trained, tmp_path: Path) -> None:
    sha256 = save_tensors(tmp_path, trained.fitted.tensors)
    back = trained.plugin.load(load_tensors(tmp_path, sha256), trained.options)
    assert_array_equal(back.sample(5, 300, seed=2), trained.model.sample(5, 300, seed=2))


def test_samples_are_counts_that_it_could_learn_from_or_nothing(trained: Trained) -> None:
    counts = trained.model.sample(0, 3000, seed=1)
    assert counts.shape == (3000, 103)
    assert counts.dtype == np.int32
    assert_array_equal(trained.plugin.is_representable(counts), counts.any(axis=1))
    assert trained.model.sample(17, 0, seed=1).shape == (0, 103)


def test_a_sample_depends_on_its_number_and_the_seed_alone(trained: Trained) -> None:
    whole = trained.model.sample(0, 5000, seed=3)
    if not whole.any():
        pytest.skip("too short a training to decode anything: the unit tests sample the published network")
    assert_array_equal(trained.model.sample(0, 5000, seed=3), whole)
    assert (trained.model.sample(0, 5000, seed=4) != whole).any()
    for cuts in ([1, 2, 3, 255, 256, 257], [2047, 2048, 2049, 4097], [4999]):
        bounds = [0, *cuts, len(whole)]
        parts = [trained.model.sample(a, b - a, seed=3) for a, b in pairwise(bounds)]
        assert_array_equal(np.concatenate(parts), whole)
    assert_array_equal(trained.model.sample(10**9 + 1, 5, seed=3), trained.model.sample(10**9, 20, seed=3)[1:6])


@pytest.mark.parametrize(
    ("formula", "culprit"),
    [("RnF2", "Rn1 F2|F2 Rn1"), ("KrF2", "Kr1"), ("Na9Cl", "Na9"), ("Na", "Na1"), ("LiNaKRbCsMgCaSrF", "Li1")],
)
def test_a_row_outside_the_vocabulary_is_refused_by_name(trained: Trained, formula: str, culprit: str) -> None:
    counts = np.concatenate([parse_formula("NaCl"), parse_formula(formula)])
    assert_array_equal(trained.plugin.is_representable(counts), [True, False])
    with pytest.raises(InputError, match=f"row 1 .*({culprit})"):
        trained.plugin.fit(TrainingTable(counts, None, np.zeros(2, np.bool_)), trained.options, seed=SEED)


def test_a_table_without_training_rows_is_refused(trained: Trained) -> None:
    counts = trained.table.counts
    with pytest.raises(InputError, match="held out"):
        trained.plugin.fit(TrainingTable(counts, None, np.ones(len(counts), np.bool_)), trained.options, seed=SEED)


def test_tensors_that_do_not_fit_are_refused_by_name(trained: Trained, refuses_damage: RefusesDamage) -> None:
    refuses_damage(trained.fitted.tensors, lambda tensors: trained.plugin.load(tensors, trained.options))


def test_other_options_are_refused(trained: Trained) -> None:
    class Others(Options):
        pass

    with pytest.raises(InputError, match="Others"):
        trained.plugin.fit(trained.table, Others(), seed=SEED)
    with pytest.raises(InputError, match="Others"):
        trained.plugin.load(trained.fitted.tensors, Others())
