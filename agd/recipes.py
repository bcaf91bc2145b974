"""Recipes of calculations by first principles, and what comes of one: plain values, known by their hash."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias, get_args

from agd.types import Floats, Structure

Kind: TypeAlias = Literal["relax", "static", "gap"]
"""What is computed: cell and sites let go; one energy; one energy, and a mesh that is fine enough for band edges."""

KINDS: tuple[Kind, ...] = get_args(Kind)

State: TypeAlias = Literal["done", "failed", "unfinished"]
"""Of a folder: unfinished is what has not begun, is at work, or was cut off."""

Failure: TypeAlias = Literal["electronic", "ionic", "bands", "structure", "element", "memory", "cut off", "program"]
"""Classes of failures: the density does not converge, the sites do not, too few bands, no crystal, an element without
a potential, no memory left, killed or out of time, and whatever else a program dies of."""

FAILURES: tuple[Failure, ...] = get_args(Failure)


Place: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How something is computed: by which engine and method, what kind, and every number that it is asked with.

    `inputs` are plain values of JSON. Two recipes of one hash are one.
    """

    engine: str
    method: str
    kind: str
    inputs: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """The hash of all four, whatever the order of keys; in the record the fifth part is a potential."""
        parts = [self.engine, self.kind, dict(self.inputs), self.method, None]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()

    def as_values(self) -> dict[str, Any]:
        """The recipe in plain values of JSON."""
        return {"engine": self.engine, "method": self.method, "kind": self.kind, "inputs": dict(self.inputs)}

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that such values stand for."""
        return cls(values["engine"], values["method"], values["kind"], values["inputs"])


@dataclass(frozen=True, slots=True)
class Launch:
    """How the program of an engine is started: cores, and a command of the site's in place of the engine's own.

    In `command` `{cores}` stands for their number: `srun -n {cores} vasp_std`.
    """

    n_cores: int = 1
    command: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class IonicStep:
    """One geometry and what was computed there: eV/atom, forces `[n, 3]` in eV/Å, stress `[6]` in GPa.

    Tension is positive; xx, yy, zz, yz, xz, xy. `stress_gpa` is None where it was not asked for.
    """

    structure: Structure
    energy_ev_per_atom: float
    forces_ev_per_angstrom: Floats
    stress_gpa: Floats | None = None


@dataclass(frozen=True, slots=True)
class BandEdges:
    """Where the bands end, as far as the mesh shows: gaps in eV, 0 for a metal, and the places of both edges.

    A place is a k-point in fractions of the reciprocal vectors; a metal has none. `direct_at` is where the direct gap
    is. The mesh has `n_points` that symmetry leaves.
    """

    gap_ev: float
    direct_gap_ev: float
    n_points: int
    n_bands: int
    is_spin_polarised: bool
    valence_at: Place | None = None
    conduction_at: Place | None = None
    direct_at: Place | None = None

    @property
    def is_direct(self) -> bool:
        """Whether both edges are in one place."""
        return self.valence_at is not None and self.valence_at == self.conduction_at


@dataclass(frozen=True, slots=True, eq=False)
class Calculated:
    """What lies in a folder: how far it is, each ionic step, and of a failure its class and reason.

    `corrections` are what was mended on the way, oldest first; `settings` what the program was told in the end.
    """

    state: State
    code_version: str
    steps: Sequence[IonicStep] = ()
    bands: BandEdges | None = None
    failure: Failure | None = None
    reason: str | None = None
    corrections: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> IonicStep:
        """The last step; raises IndexError where there is none."""
        return self.steps[-1]
