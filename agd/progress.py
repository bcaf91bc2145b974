"""How far a long computation has come."""

from typing import ClassVar, Protocol


class Progress(Protocol):
    """Told how far a long computation has come."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` units, with a short note such as a loss."""


def silent(done: int, total: int, note: str = "") -> None:
    """Report nothing."""


class Share:
    """Progress of one of several parts alike, told as a share of the whole; `title` goes before its notes."""

    _STEPS: ClassVar[int] = 1000

    def __init__(self, progress: Progress, position: int, n_parts: int, title: str = "") -> None:
        """`position` counts from 0."""
        self.progress, self.position, self.n_parts, self.title = progress, position, n_parts, title

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report `done` of `total` units of this part."""
        within = self._STEPS * done // max(total, 1)
        note = ", ".join(text for text in (self.title, note) if text)
        self.progress(self._STEPS * self.position + within, self._STEPS * self.n_parts, note)
