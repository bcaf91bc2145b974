"""What of the latent box a campaign has not seen yet."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agd.plugins.samplers.box import Box
from agd.types import Floats

_STEPS_BACK = np.linspace(1.0, 0.0, 17)


class Frontier:
    """Tells open points, which stand for a composition not seen yet, from closed ones; each choice closes its own.

    Without a way to read points every point is open. What a point stands for is read once: an autoencoder decodes in
    blocks, of which a few points cost a whole one.
    """

    def __init__(self, box: Box, read: Callable[[Floats], Sequence[str | None]] | None, seen: frozenset[str]) -> None:
        self._box = box
        self._read = read
        self._seen = set(seen)
        self._formulas: dict[bytes, str | None] = {}

    def is_open(self, points: Floats) -> NDArray[np.bool_]:
        """Which of `points` `[k, d]` are open."""
        if self._read is None or len(points) == 0:
            return np.ones(len(points), dtype=np.bool_)
        formulas = self._named(self._read, points)
        return np.array([formula is not None and formula not in self._seen for formula in formulas], dtype=np.bool_)

    def only_open(self, points: Floats) -> Floats:
        """The open ones of `points` `[k, d]`; all of them where none is open, for nothing better is known."""
        is_open = self.is_open(points)
        return points[is_open] if is_open.any() else points

    def close(self, point: Floats) -> None:
        """Count the composition of a chosen point `[d]` as seen."""
        if self._read is not None:
            (formula,) = self._named(self._read, point[None])
            if formula is not None:
                self._seen.add(formula)

    def retreat(self, starts: Floats, ends: Floats) -> Floats:
        """Step back from each end `[k, d]` towards its start to the first open point; to the end where none is."""
        if self._read is None:
            return ends
        is_open = self.is_open(ends)
        if is_open.all():
            return ends
        closed = np.flatnonzero(~is_open)
        paths = starts[closed, None] + _STEPS_BACK[:, None] * (ends - starts)[closed, None]
        open_steps = self.is_open(paths.reshape(-1, paths.shape[-1])).reshape(paths.shape[:2])
        points = ends.copy()
        points[closed] = paths[np.arange(len(closed)), open_steps.argmax(axis=1)]
        return points

    def _named(self, read: Callable[[Floats], Sequence[str | None]], points: Floats) -> list[str | None]:
        """What each of `points` `[k, d]` stands for; those that were never read are read in one call."""
        rounded = self._box.rounded(points)
        keys = [row.tobytes() for row in rounded.astype(np.float32)]
        unread = list({key: i for i, key in enumerate(keys) if key not in self._formulas}.values())
        if unread:
            self._formulas.update(zip([keys[i] for i in unread], read(rounded[unread]), strict=True))
        return [self._formulas[key] for key in keys]
