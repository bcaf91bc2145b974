"""What every installed generator promises, checked on all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from agd.chem.formula import parse_formula, parse_formulas
from agd.errors import InputError
from agd.nets.checkpoint import load_tensors, save_tensors
from agd.protocols import Generator, Options
from agd.types import Counts, Decoded, FittedModel, Latents, Tensors, TrainingTable

RefusesDamage = Callable[[Tensors, Callable[[Tensors], object]], None]

SEED = 7
SMALL = {"epochs": 3, "min_rows": 4000, "hidden": 64, "hidden_outer": 128, "hidden_inner": 64, "batch": 64}
SMALL_CONVOLUTIONS = {
    "epochs": 26,
    "max_count": 8,
    "filters_outer": 8,
    "filters_inner": 32,
    "n_latent": 32,
    "batch": 8,
    "learning_rate": 4e-3,
}
FAMILIES = {
    "{}{}": ("Li Na K Rb Cs Ag Tl Cu", "F Cl Br I H"),
    "{}2{}": ("Li Na K Rb Cs Ag Tl Cu", "O S Se Te"),
    "{}{}2": ("Mg Ca Sr Ba Zn Cd Pb Mn Fe Ni Eu", "F Cl Br I"),
    "{}1{}1": ("Mg Ca Sr Ba Zn Cd Pb Mn Fe Ni Eu Hg", "O S Se Te"),
    "{}2{}3": ("Al Ga In Sc Y La Nd Gd Lu Bi Cr", "O S Se"),
    "{}{}O3": ("Ca Sr Ba Pb Eu", "Ti Zr Hf Sn Ge Ce"),
    "{}{}S4": ("Ca Sr Ba Zn", "Si Ge W Mo"),
    "Cs2{}{}6": ("Ti Zr Hf Sn Pt Te", "Cl Br I"),
    "K{}{}5": ("Mg Ca Mn Zn Cd", "F Cl"),
    "{}3{}5O12": ("Y Gd Lu Yb Er", "Al Ga Fe"),
    "{}P{}O7": ("Na K Rb Cs", "V Nb Ta"),
    "{}{}F6": ("Li Na K Rb Cs Ag", "P As Sb Nb Ta U"),
}
FORMULAS = [
    pattern.format(first, second)
    for pattern, (firsts, seconds) in FAMILIES.items()
    for first in firsts.split()
    for second in seconds.split()
]


def small_options(plugin: type[Generator]) -> Options:
    """What fits the corpus in seconds; options that a plug-in does not have are left out."""
    known = plugin.options_type.model_fields
    small = SMALL_CONVOLUTIONS if "filters_outer" in known else SMALL
    chosen = {name: value for name, value in small.items() if name in known}
    return plugin.options_type.model_validate(chosen)


def corpus(plugin: type[Generator], options: Options) -> TrainingTable:
    counts, problems = parse_formulas(FORMULAS)
    assert not problems
    counts = counts[plugin.is_representable(counts, options)]
    return TrainingTable(counts, None, np.arange(len(counts)) % 5 == 0)


@dataclass(frozen=True)
class Trained:
    plugin: type[Generator]
    options: Options
    table: TrainingTable
    fitted: FittedModel
    model: Generator

    def latents(self) -> Latents:
        return self.model.encode(self.table.counts)

    def box(self, n: int) -> Latents:
        """`n` points, most of them far from any composition."""
        encoded = self.latents()
        low, high = encoded.min(axis=0), encoded.max(axis=0)
        uniform = np.random.default_rng(SEED).random((n, self.model.n_latent))
        return (low + (high - low) * uniform).astype(np.float32)


@pytest.fixture(scope="module", params=sorted(entry_points(group="agd.generators")), ids=lambda entry: entry.name)
def trained(request: pytest.FixtureRequest) -> Trained:
    plugin = request.param.load()
    options = small_options(plugin)
    table = corpus(plugin, options)
    fitted = plugin.fit(table, options, seed=SEED)
    return Trained(plugin, options, table, fitted, plugin.load(fitted.tensors, options))


def rows_of(decoded: Decoded) -> Counts:
    failed = np.zeros(len(decoded.counts), np.bool_)
    failed[list(decoded.failures)] = True
    assert_array_equal(failed, ~decoded.counts.any(axis=1), "a failure and a row without atoms are the same thing")
    assert all(reason.strip() for reason in decoded.failures.values())
    return decoded.counts


def test_it_has_the_shape_of_a_generator(trained: Trained) -> None:
    assert isinstance(trained.model, Generator)
    assert trained.plugin.architecture_version >= 1


def test_every_option_has_a_default_and_a_description(trained: Trained) -> None:
    for name, field in trained.plugin.options_type.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name
    assert trained.plugin.options_type()


def test_the_same_seed_gives_the_same_tensors_and_another_seed_others(trained: Trained) -> None:
    brief = trained.options.model_copy(update={"epochs": 1})
    one, again, other = (trained.plugin.fit(trained.table, brief, seed=seed) for seed in (1, 1, 2))
    assert again.tensors.keys() == one.tensors.keys()
    for name, tensor in again.tensors.items():
        assert tensor.tobytes() == one.tensors[name].tobytes(), name
    assert again.metrics == one.metrics
    assert any(one.tensors[name].tobytes() != tensor.tobytes() for name, tensor in other.tensors.items())


def test_metrics_are_finite_numbers(trained: Trained) -> None:
    assert trained.fitted.metrics
    assert all(np.isfinite(value) for value in trained.fitted.metrics.values())


def test_progress_runs_from_start_to_end_with_notes(trained: Trained) -> None:
    told: list[tuple[int, int, str]] = []
    brief = trained.options.model_copy(update={"epochs": 1, "min_rows": 1})
    trained.plugin.fit(trained.table, brief, seed=SEED, progress=lambda *report: told.append(report))
    done = [report[0] for report in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert all(note for _, _, note in told)


def test_a_stored_model_encodes_and_decodes_bit_for_bit_alike(trained: Trained, tmp_path: Path) -> None:
    sha256 = save_tensors(tmp_path, trained.fitted.tensors)
    back = trained.plugin.load(load_tensors(tmp_path, sha256), trained.options)
    assert back.encode(trained.table.counts).tobytes() == trained.latents().tobytes()
    points = trained.box(300)
    assert_array_equal(back.decode(points).counts, trained.model.decode(points).counts)


def test_shapes_and_types(trained: Trained) -> None:
    n = len(trained.table.counts)
    latents = trained.latents()
    assert latents.shape == (n, trained.model.n_latent)
    assert latents.dtype == np.float32
    counts = trained.model.decode(latents).counts
    assert counts.shape == (n, 103)
    assert counts.dtype == np.int32
    nothing = trained.model.encode(trained.table.counts[:0])
    assert nothing.shape == (0, trained.model.n_latent)
    assert trained.model.decode(nothing).counts.shape == (0, 103)


@pytest.mark.parametrize("size", [1, 20, 1000])
def test_a_row_does_not_depend_on_its_batch(trained: Trained, size: int) -> None:
    counts = np.tile(trained.table.counts, (4, 1))[:1000]
    latents = trained.model.encode(counts)
    few = slice(0, 100 if size == 1 else None)
    parts = [trained.model.encode(part) for part in np.split(counts[few], range(size, len(counts[few]), size))]
    assert np.concatenate(parts).tobytes() == latents[few].tobytes()

    points = np.concatenate([latents[:200], trained.box(800)])[np.random.default_rng(0).permutation(1000)]
    whole = trained.model.decode(points)
    batches = np.split(np.arange(1000)[few], range(size, len(points[few]), size))
    for batch in batches:
        part = trained.model.decode(points[batch])
        assert_array_equal(part.counts, whole.counts[batch])
        assert part.failures == {i: whole.failures[row] for i, row in enumerate(batch) if row in whole.failures}


def test_what_was_trained_on_mostly_comes_back(trained: Trained) -> None:
    counts = trained.table.counts[~trained.table.is_held_out]
    decoded = rows_of(trained.model.decode(trained.model.encode(counts)))
    assert (decoded == counts).all(axis=1).mean() > 0.9


def test_counts_are_kept_as_given(trained: Trained) -> None:
    counts = np.concatenate([parse_formula("Sr2O2"), parse_formula("SrO")])
    latents = trained.model.encode(counts)
    assert (latents[0] != latents[1]).any()


def test_any_point_decodes_to_a_composition_that_can_be_encoded_or_fails_by_name(trained: Trained) -> None:
    counts = rows_of(trained.model.decode(trained.box(500)))
    assert (counts >= 0).all()
    assert_array_equal(trained.plugin.is_representable(counts, trained.options), counts.any(axis=1))


def test_a_latent_vector_of_another_length_or_not_finite_is_refused(trained: Trained) -> None:
    point = trained.latents()[:1]
    with pytest.raises(InputError, match=f"{trained.model.n_latent}"):
        trained.model.decode(point[:, 1:])
    with pytest.raises(InputError, match="row 1 "):
        trained.model.decode(np.concatenate([point, point * np.nan]))


def test_the_vocabulary_is_known_before_a_model_is_fitted(trained: Trained) -> None:
    counts = np.concatenate([trained.table.counts, np.eye(103, dtype=np.int32), np.zeros((1, 103), np.int32)])
    answers = trained.plugin.is_representable(counts, trained.options)
    assert (answers.dtype, answers.shape) == (np.bool_, (len(counts),))
    assert not answers[-1]
    assert answers[: len(trained.table.counts)].all()
    assert trained.model.encode(counts[answers]).shape == (answers.sum(), trained.model.n_latent)
    parts = [trained.plugin.is_representable(counts[i : i + 1], trained.options) for i in range(len(counts))]
    assert_array_equal(np.concatenate(parts), answers)
    assert trained.plugin.is_representable(counts[:0], trained.options).shape == (0,)


@pytest.mark.parametrize(("formula", "culprit"), [("RnF2", "Rn"), ("Na999Cl", "Na999")])
def test_a_row_outside_the_vocabulary_is_refused_by_name(trained: Trained, formula: str, culprit: str) -> None:
    counts = np.concatenate([parse_formula("NaCl"), parse_formula(formula)])
    if trained.plugin.is_representable(counts[1:], trained.options).all():
        pytest.skip(f"{formula} is within its vocabulary")
    with pytest.raises(InputError, match=f"row 1 .*{culprit}"):
        trained.model.encode(counts)
    with pytest.raises(InputError, match=culprit):
        trained.plugin.fit(TrainingTable(counts, None, np.zeros(2, np.bool_)), trained.options, seed=SEED)


def test_a_table_without_training_rows_is_refused(trained: Trained) -> None:
    counts = trained.table.counts
    with pytest.raises(InputError, match="held out"):
        trained.plugin.fit(TrainingTable(counts, None, np.ones(len(counts), np.bool_)), trained.options, seed=SEED)


def test_tensors_that_do_not_fit_are_refused_by_name(trained: Trained, refuses_damage: RefusesDamage) -> None:
    refuses_damage(trained.fitted.tensors, lambda tensors: trained.plugin.load(tensors, trained.options))
