"""How far predictions are from the values: the measures that every oracle is held to."""

import numpy as np

from agd.types import Floats


def measure_errors(values: Floats, predicted: Floats) -> dict[str, float]:
    """`mae` and `rmse` in the unit of the values `[n]`, and `r2` where they are not all the same."""
    errors = np.abs(predicted - values)
    metrics = {"mae": float(errors.mean()), "rmse": float(np.sqrt(np.mean(errors**2)))}
    if np.ptp(values) > 0.0:
        metrics["r2"] = float(1.0 - np.mean(errors**2) / values.var())
    return metrics
