"""Structures proposed for compositions, where their energies stand, and what that lets one claim."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agd.views import html


@dataclass(frozen=True, slots=True)
class StructureCandidate:
    """A type of structure that a composition may have, v_structure_candidate, and what a potential made of it.

    `template_entry` is the template's name in a data set. Energies are in eV/atom. Without a potential nothing was
    relaxed; `outcome` is relaxed or refused, with its reason. `model` is of structures: what it says of the formation
    energy of the structure as proposed, and relaxed.
    """

    reduced_formula: str
    rank: int
    template: str
    template_entry: str | None
    mapping: Mapping[str, Sequence[str]]
    distance: float
    templates: str
    templates_version: str
    potential: str | None
    potential_version: str | None
    weights_sha256: str | None
    outcome: str | None
    energy_ev_per_atom: float | None
    n_steps: int | None
    volume_ratio: float | None
    reason: str | None
    e_form_ev_per_atom: float | None
    e_above_hull_ev_per_atom: float | None
    products: str | None
    search_id: int
    structure_id: int
    template_id: int
    relaxation_id: int | None
    relaxed_id: int | None
    model: str | None
    model_version_id: int | None
    model_e_form_ev_per_atom: float | None
    model_relaxed_e_form_ev_per_atom: float | None


@dataclass(frozen=True, slots=True)
class Claim:
    """How far a composition has come, v_claim: the highest level that something in the record speaks for.

    Novelty is beside the structures that its templates were searched among, `reference`.
    """

    reduced_formula: str
    claim: str
    level: int
    is_valid: bool
    n_proposed: int | None
    is_relaxed: bool
    e_above_hull_ev_per_atom: float | None
    potential: str | None
    has_dft_gap: bool
    dft_e_above_hull_ev_per_atom: float | None
    is_measured: bool
    structure_novelty: str | None
    reference: str | None
    has_stable_phonons: bool
    has_stable_dft_phonons: bool


@dataclass(frozen=True, slots=True)
class Structured:
    """What was found for a composition: its candidates by rank, each with what a potential made of it; its claim.

    `n_searched` are known structures of the same anonymous formula; no candidates means no analogue, never unstable.
    `left_out` tells by formula why what competes is not on the hull, which may lie lower than it is told then. The
    predicted energy above the hull is what the newest oracle of it says of the formula alone.
    """

    formula: str
    n_searched: int
    n_proposed: int
    was_there: bool
    claim: Claim
    candidates: Sequence[StructureCandidate]
    left_out: Mapping[str, str]
    predicted_e_above_hull_ev_per_atom: float | None

    def _repr_html_(self) -> str:
        """The candidates as a table in a notebook."""
        columns = ["rank", "like", "entry", "distance", "relaxed by", "E_form (eV/atom)", "above hull (eV/atom)"]
        rows = [
            [
                one.rank,
                one.template,
                one.template_entry,
                one.distance,
                one.potential if one.outcome != "refused" else f"{one.potential} refused: {one.reason}",
                one.e_form_ev_per_atom,
                one.e_above_hull_ev_per_atom,
            ]
            for one in self.candidates
        ]
        return html.table(f"{self.formula}: {self.claim.claim}", columns, rows)


@dataclass(frozen=True, slots=True)
class DistanceFromHull:
    """Where an energy of a composition stands, v_hull_distance; energies are in eV/atom, products by share of atoms."""

    reduced_formula: str
    e_form_ev_per_atom: float
    hull_ev_per_atom: float
    e_above_hull_ev_per_atom: float
    method: str
    method_kind: str
    correction_scheme: str | None
    is_standing: bool
    is_newest: bool
    products: str
    started_at: datetime
    hull_distance_id: int
    phase_set_id: int
    relaxation_id: int | None
    label_id: int | None


@dataclass(frozen=True, slots=True)
class HullAt:
    """The hull of labels of one method and scheme at a composition, and the phases that it lies between."""

    method: str
    correction_scheme: str
    n_phases: int
    hull_ev_per_atom: float
    products: str


@dataclass(frozen=True, slots=True)
class HullOfComposition:
    """The hull at a composition by each method, its energies there, and its claim where the record has heard of it."""

    formula: str
    hulls: Sequence[HullAt]
    distances: Sequence[DistanceFromHull]
    claim: Claim | None

    def _repr_html_(self) -> str:
        """The hulls, and the energies above them, as tables in a notebook."""
        at = [
            [one.method, one.correction_scheme, one.n_phases, one.hull_ev_per_atom, one.products] for one in self.hulls
        ]
        above = [
            [one.method, one.correction_scheme, one.e_form_ev_per_atom, one.e_above_hull_ev_per_atom, one.products]
            for one in self.distances
        ]
        first = ["method", "scheme", "phases", "hull (eV/atom)", "between"]
        second = ["method", "scheme", "E_form (eV/atom)", "above hull (eV/atom)", "would become"]
        return html.table(f"hull at {self.formula}", first, at) + html.table(f"{self.formula}", second, above)


@dataclass(frozen=True, slots=True)
class ComparedStructure:
    """A relaxed structure of a formula: its energy by the potential, and what each ranker says of it, lowest first.

    `rank` and `template` are of the search that proposed it; None where it was imported.
    """

    structure_id: int
    relaxed_id: int
    rank: int | None
    template: str | None
    energy_ev_per_atom: float
    above_lowest_mev_per_atom: float
    says: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a ranker orders the structures of a formula: what its first choice lies above the lowest is its regret."""

    ranker: str
    n_structures: int
    spearman: float | None
    is_lowest_right: bool
    regret_mev_per_atom: float


@dataclass(frozen=True, slots=True)
class ComparedFormula:
    """The structures of a formula, the lowest by the potential first, and how each ranker orders them."""

    formula: str
    structures: Sequence[ComparedStructure]
    rankings: Sequence[Ranking]


@dataclass(frozen=True, slots=True)
class RankingOfAll:
    """How a ranker orders the structures of all formulas that it ranks."""

    ranker: str
    n_formulas: int
    n_structures: int
    mean_spearman: float | None
    n_lowest_right: int
    mean_regret_mev_per_atom: float
    share_within_25_mev: float


@dataclass(frozen=True, slots=True)
class StructureComparison:
    """How structures are ranked where the energies of a potential are the truth; the least regret first.

    `refused` are reasons why the model has no answer for some of them.
    """

    potential: str
    model: str | None
    model_version_id: int | None
    formulas: Sequence[ComparedFormula]
    rankings: Sequence[RankingOfAll]
    refused: Sequence[str]

    def _repr_html_(self) -> str:
        """The rankers, least regret first, as a table in a notebook."""
        columns = ["ranked by", "formulas", "structures", "Spearman", "lowest right", "mean regret (meV/atom)"]
        rows = [
            [
                one.ranker,
                one.n_formulas,
                one.n_structures,
                one.mean_spearman,
                one.n_lowest_right,
                one.mean_regret_mev_per_atom,
            ]
            for one in self.rankings
        ]
        return html.table(f"energies of {self.potential} being the truth", columns, rows)
