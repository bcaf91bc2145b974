"""What every autoencoder promises, checked on simple inorganic compounds."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from agd.errors import InputError
from agd.protocols import Generator
from agd.testing.models import SEED, ModelContract
from agd.testing.promises import promised, require, require_array, require_error, require_finite, require_same
from agd.testing.vocabularies import known_compounds, outsiders
from agd.types import Counts, Decoded, Latents, TrainingTable

_N_POINTS = 1000


class AutoencoderContract(ModelContract):
    """The contract of an autoencoder."""

    group: ClassVar[str] = "agd.generators"
    protocol: ClassVar[type] = Generator
    learns_from_held_out: ClassVar[bool] = True

    least_recovered: ClassVar[float] = 0.9
    """Share of the training rows that must come back when they are encoded and decoded."""

    @classmethod
    def table(cls) -> TrainingTable:
        """The compounds within its vocabulary, every fifth held out."""
        counts = known_compounds()
        counts = counts[cls.plugin_class().is_representable(counts, cls.chosen())]
        return TrainingTable(counts, None, np.arange(len(counts)) % 5 == 0)

    @classmethod
    def answers(cls, model: Any) -> Mapping[str, Any]:
        """Latent vectors of the table, and what a random point stands for."""
        return {"latents": model.encode(cls.trained().table.counts), "counts": model.decode(cls.box(300)).counts}

    @classmethod
    def latents(cls) -> Latents:
        """The table, encoded."""
        latents: Latents = cls.trained().model.encode(cls.trained().table.counts)
        return latents

    @classmethod
    def box(cls, n: int) -> Latents:
        """`n` points of the box of the table, most of them far from any composition."""
        encoded = cls.latents()
        low, high = encoded.min(axis=0), encoded.max(axis=0)
        uniform = np.random.default_rng(SEED).random((n, encoded.shape[1]))
        points: Latents = (low + (high - low) * uniform).astype(np.float32)
        return points

    @promised(
        "encode gives finite float32 latents `[n, n_latent]`, decode agd.types.Decoded with int32 counts `[n, 103]`",
        cure="end encode with `.astype(np.float32)`, and decode into np.zeros((n, 103), np.int32)",
    )
    def test_shapes_and_types(self) -> None:
        """Of many rows, one, and none."""
        model, counts = self.trained().model, self.trained().table.counts
        is_whole = isinstance(model.n_latent, int) and model.n_latent >= 1
        require(is_whole, f"n_latent is {model.n_latent!r}")
        for n in (len(counts), 1, 0):
            latents = model.encode(counts[:n])
            require_array(latents, (n, model.n_latent), "float32", "latents")
            require_finite(latents, "latents")
            decoded = model.decode(latents)
            require(isinstance(decoded, Decoded), f"decode gives a {type(decoded).__name__}")
            require_array(decoded.counts, (n, 103), "int32", "counts")

    @promised(
        "a row is encoded and decoded as if it were alone",
        cure="use no normalisation over the batch, and matrix products of one fixed shape (pad the last block)",
    )
    def test_a_row_does_not_depend_on_its_batch(self) -> None:
        """The same point stands for the same composition, whatever came with it."""
        model = self.trained().model
        counts = np.tile(self.trained().table.counts, (4, 1))[:_N_POINTS]
        latents = model.encode(counts)
        points = np.concatenate([latents[:200], self.box(800)])[np.random.default_rng(0).permutation(_N_POINTS)]
        whole = model.decode(points)
        for size, n in ((1, 100), (20, len(counts)), (333, len(counts))):
            parts = [model.encode(counts[start : min(start + size, n)]) for start in range(0, n, size)]
            require_same(np.concatenate(parts), latents[:n], f"encoded {size} at a time a row differs")
            for start in range(0, n, size):
                rows = range(start, min(start + size, n))
                part = model.decode(points[rows.start : rows.stop])
                require_same(
                    part.counts, whole.counts[rows.start : rows.stop], f"decoded {size} at a time a row differs"
                )
                reasons = {i: whole.failures[row] for i, row in enumerate(rows) if row in whole.failures}
                require(dict(part.failures) == reasons, f"decoded {size} at a time, other rows fail: {part.failures}")

    @promised(
        "any point decodes to a composition that can be encoded, or fails with a reason",
        cure="put a failure into Decoded.failures as row -> reason, and leave that row of counts at zero",
    )
    def test_any_point_decodes_or_fails(self) -> None:
        """A sampler asks anywhere in the box."""
        model = self.trained().model
        counts = self._rows_of(model.decode(self.box(500)))
        require((counts >= 0).all(), "a count is below zero")
        is_wrong = self._is_representable(counts) != counts.any(axis=1)
        require(not is_wrong.any(), f"row {int(np.argmax(is_wrong))} decodes to what cannot be encoded")

    @promised(
        "what it was trained on mostly comes back",
        cure="train longer, or say in the contract how much does: `least_recovered`",
    )
    def test_what_was_trained_on_comes_back(self) -> None:
        """A campaign cannot find what no point stands for."""
        trained = self.trained()
        counts = trained.table.counts[~trained.table.is_held_out]
        decoded = self._rows_of(trained.model.decode(trained.model.encode(counts)))
        share = (decoded == counts).all(axis=1).mean()
        require(share >= self.least_recovered, f"{share:.2f} of {len(counts)} rows, not {self.least_recovered}")

    @promised(
        "latent vectors of another length, or not finite, are refused by InputError",
        cure="raise agd.errors.InputError that has n_latent, or the number of the row that is not finite",
    )
    def test_wrong_latents_are_refused(self) -> None:
        """In one line."""
        model, point = self.trained().model, self.latents()[:1]
        shorter, torn = point[:, 1:], np.concatenate([point, point * np.nan])
        n_latent = {"the length that is due": str(model.n_latent)}
        require_error(InputError, lambda: model.decode(shorter), "a latent vector that is too short", n_latent)
        require_error(InputError, lambda: model.decode(torn), "row 1, which is NaN,", {"its number": "row 1"})

    @promised(
        "is_representable tells of each row alone, `[n]`, whether it can be encoded, before anything is fitted",
        cure="make it a class method that returns an array of booleans, and False for a row without atoms",
    )
    def test_it_knows_its_vocabulary(self) -> None:
        """A campaign asks which rows it can start from."""
        single = np.eye(103, dtype=np.int32)
        counts = np.concatenate([known_compounds(), single, np.zeros((1, 103), np.int32)])
        is_inside = self._is_representable(counts)
        require_array(is_inside, (len(counts),), "bool_", "is_representable")
        require(not is_inside[-1], "a row without atoms is representable")
        require(is_inside.sum() >= 50, f"{is_inside.sum()} of {len(counts)} simple compounds are representable")  # noqa: PLR2004
        alone = [self._is_representable(counts[i : i + 1]) for i in range(len(counts))]
        require_same(np.concatenate(alone), is_inside, "asked alone a row differs")
        require_array(self._is_representable(counts[:0]), (0,), "bool_", "is_representable of nothing")
        n_encoded = len(self.trained().model.encode(counts[is_inside]))
        require(n_encoded == is_inside.sum(), f"{n_encoded} of {is_inside.sum()} such rows are encoded")

    @promised(
        "a row outside the vocabulary is refused by InputError that names it",
        cure='raise agd.errors.InputError(f"row {row} (Na999 Cl1) ...") in encode and in fit',
    )
    def test_a_row_outside_the_vocabulary_is_refused(self) -> None:
        """For every kind of row that is_representable refuses."""
        trained = self.trained()
        good = trained.table.counts[0]
        for what, row in outsiders(self._is_representable):
            counts = np.stack([good, row])
            as_row = {"its number": "row 1"}
            encoding = f"{what} as row 1 to encode"
            require_error(InputError, lambda c=counts: trained.model.encode(c), encoding, as_row)  # type: ignore[misc]  # mypy gives a lambda's default no type
            table = TrainingTable(counts, None, np.zeros(2, np.bool_))
            require_error(
                InputError,
                lambda t=table: trained.plugin.fit(t, trained.options, seed=SEED),  # type: ignore[misc]  # same
                f"{what} as row 1 of the table",
                as_row,
            )

    def _is_representable(self, counts: Counts) -> Any:
        return self.plugin_class().is_representable(counts, self.chosen())

    def _rows_of(self, decoded: Decoded) -> Counts:
        is_failed = np.zeros(len(decoded.counts), np.bool_)
        is_failed[list(decoded.failures)] = True
        is_wrong = is_failed == decoded.counts.any(axis=1)
        require(not is_wrong.any(), f"row {int(np.argmax(is_wrong))} has no atoms and no reason, or both")
        require(all(reason.strip() for reason in decoded.failures.values()), "a reason is empty")
        return decoded.counts
