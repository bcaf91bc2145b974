"""The latent box, in the points that float32 can hold."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agd.errors import InputError
from agd.types import Floats

if TYPE_CHECKING:
    from numpy.random import Generator

MIN_SEPARATION = 0.01
"""Least distance of two points of a batch of n, as a share of the box's diagonal; 1 / (4 n) where that is smaller."""

_MAX_DRAWS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """The points between `lower` and `upper`, both `[d]`, that float32 can hold."""

    lower: Floats
    upper: Floats

    @classmethod
    def of(cls, bounds: Floats) -> "Box":
        """Shrink `bounds` `[d, 2]` to the nearest float32 within; a side that holds none becomes the nearest one."""
        if bounds.ndim != 2 or bounds.shape[1] != 2 or not np.isfinite(bounds).all():  # noqa: PLR2004  # low and high
            raise InputError(f"the bounds of the latent box must be finite and [n_latent, 2], not {bounds.shape}")
        if (bounds[:, 0] > bounds[:, 1]).any():
            raise InputError(f"bound {np.argmax(bounds[:, 0] > bounds[:, 1])} of the latent box has its ends swapped")
        low, high = bounds.T.astype(np.float32)
        lower = np.where(low < bounds[:, 0], np.nextafter(low, np.float32(np.inf)), low)
        upper = np.where(high > bounds[:, 1], np.nextafter(high, np.float32(-np.inf)), high)
        is_empty = lower > upper
        lower[is_empty] = upper[is_empty] = low[is_empty]
        return cls(lower.astype(np.float64), upper.astype(np.float64))

    @property
    def width(self) -> Floats:
        """Lengths of the sides `[d]`."""
        return np.asarray(self.upper - self.lower)

    def draw(self, n: int, rng: "Generator") -> Floats:
        """Uniform points `[n, d]`."""
        return rng.uniform(self.lower, self.upper, (n, len(self.lower)))

    def jitter(self, points: Floats, share: float, rng: "Generator") -> Floats:
        """Move `points` `[n, d]` by a normal deviate of `share` widths, within the box."""
        return self.clip(points + share * self.width * rng.standard_normal(points.shape))

    def clip(self, points: Floats) -> Floats:
        """Nearest points within the box, as float64."""
        return np.clip(points, self.lower, self.upper)

    def rounded(self, points: Floats) -> Floats:
        """Nearest points within the box that float32 holds, as float64."""
        return self.clip(points.astype(np.float32).astype(np.float64))

    def separation(self, n: int) -> float:
        """Least distance kept between n points, small enough for n of them to fit."""
        return float(min(MIN_SEPARATION, 0.25 / n) * np.linalg.norm(self.width))

    def draw_apart(self, chosen: list[Floats], n: int, rng: "Generator") -> Floats:
        """One uniform point `[d]` at least `separation(n)` from those chosen."""
        for _ in range(_MAX_DRAWS):
            point = self.rounded(self.draw(1, rng))
            if are_apart(point, chosen, self.separation(n))[0]:
                return np.asarray(point[0])
        raise InputError(f"the latent box is too narrow to hold {n} distinct points")


def are_apart(points: Floats, chosen: list[Floats], separation: float) -> NDArray[np.bool_]:
    """Which of `points` `[k, d]` differ from every chosen one by at least `separation`."""
    if not chosen:
        return np.ones(len(points), dtype=np.bool_)
    distances = np.linalg.norm(points[:, None] - np.array(chosen), axis=2).min(axis=1)
    return np.asarray((distances >= separation) & (distances > 0.0))
