"""Claims: how far a composition has come, as v_claim says it of rows."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

NEAR_HULL_EV_PER_ATOM = 0.05
"""Above the hull by no more than that is near it: what is made in laboratories mostly is (10.1126/sciadv.1600225)."""

Level: TypeAlias = Literal[
    "guessed", "valid", "template", "relaxed", "near-hull", "dft-gap", "dft-hull", "phonons", "measured"
]
"""What a level is called on the command line, from the lowest."""

LEVELS: tuple[Level, ...] = get_args(Level)

CLAIMS = (
    *("guessed", "valid", "has a template", "relaxed by a potential", "near the potential's hull", "DFT gap"),
    *("DFT hull", "phonons", "measured"),
)
"""What a level is called where it is shown, in the same order."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the record has of a composition; distances are None where there is none that stands.

    Phonons are stable where those of the lowest relaxed structure have no imaginary mode, by whatever or by first
    principles.
    """

    is_valid: bool = False
    n_templates: int = 0
    is_relaxed: bool = False
    e_above_hull_ev_per_atom: float | None = None
    has_dft_gap: bool = False
    dft_e_above_hull_ev_per_atom: float | None = None
    is_measured: bool = False
    has_stable_phonons: bool = False
    has_stable_dft_phonons: bool = False


def level_of(found: Evidence) -> int:
    """The highest level that something speaks for, from 0; phonons by a potential only for what is near a DFT hull."""
    is_near_dft_hull = _is_near(found.dft_e_above_hull_ev_per_atom)
    speaks = {
        "valid": found.is_valid,
        "template": found.n_templates > 0,
        "relaxed": found.is_relaxed,
        "near-hull": _is_near(found.e_above_hull_ev_per_atom),
        "dft-gap": found.has_dft_gap,
        "dft-hull": is_near_dft_hull,
        "phonons": found.has_stable_dft_phonons or (found.has_stable_phonons and is_near_dft_hull),
        "measured": found.is_measured,
    }
    return max((LEVELS.index(level) for level in LEVELS if speaks.get(level)), default=0)


def _is_near(distance_ev_per_atom: float | None) -> bool:
    return distance_ev_per_atom is not None and distance_ev_per_atom <= NEAR_HULL_EV_PER_ATOM
