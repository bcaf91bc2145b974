"""Where the keys of a specification stand, as an error names them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agd.spec.toml import Key, spelled

_MAX_SHOWN = 200
"""Characters of a key or a value in an error."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where keys stand: the file, and the line of each key; a mapping has neither."""

    path: Path | None = None
    lines: Mapping[Key, int] = field(default_factory=dict)

    def of(self, *key: str) -> str:
        """`file:line: key`, or `specification: key`: the beginning of an error message.

        The line is that of the key, or else of the section that it is in.
        """
        name = brief(".".join(map(spelled, key)))
        if self.path is None:
            return f"specification: {name}"
        above = (key[:depth] for depth in range(len(key), 0, -1))
        return f"{self.path}:{next((self.lines[one] for one in above if one in self.lines), 1)}: {name}"


def shown(value: object) -> str:
    """A value on one line."""
    return brief(" ".join(repr(value).split()))


def brief(words: str) -> str:
    """As much of it as an error shows."""
    return words if len(words) <= _MAX_SHOWN else f"{words[:_MAX_SHOWN]}..."
