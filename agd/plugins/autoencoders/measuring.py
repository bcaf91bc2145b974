"""What a fitted autoencoder is worth: the same measures for every generator."""

import numpy as np

from agd.chem.identity import reduce_counts
from agd.chem.validity import assess
from agd.protocols import Generator
from agd.types import TrainingTable

_N_BOX_POINTS = 5_000
_FEW = 2
_MANY = 6
_SMALL_COUNT = 8


def measure(model: Generator, table: TrainingTable, *, seed: int) -> dict[str, float]:
    """Measure a fitted model on the held-out rows, or on the training rows where none are held out.

    A training row's round trip is called `training_round_trip`. `box_` are shares of points drawn uniformly between
    the least and largest latent value of those rows in each dimension, `box_undecodable` for whatever reason; `valid_`
    are shares of compositions, of the decoded points and of the rows themselves, that are charge-neutral and
    electronegativity-balanced once reduced.
    """
    rows = table.counts[table.is_held_out] if table.is_held_out.any() else table.counts
    prefix = "" if table.is_held_out.any() else "training_"
    latents = model.encode(rows)
    is_exact = (model.decode(latents).counts == rows).all(axis=1)
    is_small = rows.max(axis=1) <= _SMALL_COUNT
    low, high = latents.min(axis=0), latents.max(axis=0)
    uniform = np.random.default_rng(seed).random((_N_BOX_POINTS, model.n_latent))
    points = model.decode((low + (high - low) * uniform).astype(np.float32)).counts
    n_elements = np.count_nonzero(points, axis=1)
    decoded = reduce_counts(points[n_elements > 0])
    shares = {
        f"{prefix}round_trip": is_exact,
        f"{prefix}round_trip_counts_le_{_SMALL_COUNT}": is_exact[is_small],
        "box_undecodable": n_elements == 0,
        f"box_{_FEW}_to_{_MANY}": (n_elements >= _FEW) & (n_elements <= _MANY),
        "valid_decodes": assess(decoded).is_valid,
        "valid_encoded": assess(reduce_counts(rows)).is_valid,
    }
    metrics = {name: float(share.mean()) for name, share in shares.items() if share.size}
    return metrics | {"box_distinct": len(np.unique(decoded, axis=0)) / _N_BOX_POINTS}
