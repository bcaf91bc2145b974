"""By which method a value came about, and which of several labels of a composition is shown.

The views `v_label` and `v_label_best` say the same in SQL.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from agd.plausible import plausible_range

Kind: TypeAlias = Literal["measured", "dft", "potential", "model"]
"""What a method can be that somebody adds."""

UNSTATED: Final = "unstated"
"""The method of datasets whose values came about nobody said how."""

FIDELITIES: Final[Mapping[str, int]] = MappingProxyType(
    {"measured": 400, "dft": 300, "potential": 200, UNSTATED: 150, "model": 100}
)
"""By kind the fidelity of a method for which no other is chosen; what is unstated goes before a model's word alone."""


class Ranked(Protocol):
    """What of a label decides whether it is shown."""

    @property
    def label_id(self) -> int:
        """Its number: the newer label has the larger one."""

    @property
    def value(self) -> float:
        """In the property's unit."""

    @property
    def fidelity(self) -> int:
        """That of its method."""

    @property
    def is_retracted(self) -> bool:
        """Whether it was withdrawn."""

    @property
    def property(self) -> str:
        """What the value is of."""


_Label = TypeVar("_Label", bound=Ranked)


def best_by_property(labels: Iterable[_Label]) -> dict[str, _Label]:
    """Of the labels of one composition the one that is shown, by property: of the highest fidelity, then the newest.

    One that was retracted, or cannot be a value, hides no other.
    """
    best: dict[str, _Label] = {}
    for label in labels:
        if label.is_retracted or label.value not in plausible_range(label.property):
            continue
        other = best.get(label.property)
        if other is None or (label.fidelity, label.label_id) > (other.fidelity, other.label_id):
            best[label.property] = label
    return best
