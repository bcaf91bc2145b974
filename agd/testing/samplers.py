"""What every sampler promises, checked on histories that a campaign may have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.errors import ExhaustedError
from agd.protocols import Sampler
from agd.testing.plugins import PluginContract, other_global_randomness
from agd.testing.promises import kept, once, promised, require, require_array, require_same
from agd.types import Counts, Floats, History, Proposals, Sought

_N_LATENT = 6
_N_INITIAL = 4
_N_CANDIDATES = 420
_N_TRIES = 100
_GIVES = "suggest gives agd.types.Proposals of `n` points, or of 1 to `n` compositions, with measures for each"
_AS_PROPOSALS = "return latents `[n, n_latent]` or counts `[n, 103]`, and three measures `[n]`, NaN where unknown"
_PURE = (
    "make `rng = np.random.default_rng(seed)` within suggest, draw from nothing else, and keep nothing on the instance"
)


class SamplerContract(PluginContract):
    """The contract of a sampler.

    One whose space are formulas is asked without latents too, and may know 420 compositions besides its history's.
    """

    group: ClassVar[str] = "agd.samplers"
    protocol: ClassVar[type] = Sampler

    n_batch: ClassVar[int] = 20
    """Points of a batch; fewer for a sampler that takes its time."""

    @classmethod
    def histories(cls) -> Mapping[str, History]:
        """What the sampler is asked with, by name."""
        takes_several = cls.plugin_class().takes_several_properties
        of_formulas = {"without latents": without_latents(history(30))}
        return {
            **(of_formulas if cls.plugin_class().space == "formula" else {}),
            "ordinary": history(30),
            "some unlabelled": _with_objectives([np.nan, 1.0, 0.2, np.nan, 3.0, np.nan, -1.0]),
            "two points": _with_objectives([2.5, 1.0]),
            "no label": _with_objectives([np.nan, np.nan]),
            "all equal": _with_objectives([1.25] * 12),
            "the same point again": with_compositions(
                History(np.ones((5, _N_LATENT)), np.array([1.0, 1.1, np.nan, 0.9, 1.0]), history(5).bounds)
            ),
            "a side of no width": history(30, bounds=[[-1.0, 1.0], [0.125, 0.125], [2.0, 4.0]]),
            "one dimension": history(30, bounds=[[0.0, 1.0]]),
            "a point outside the box": with_compositions(
                History(np.array([[9.0, 9.0], [0.5, 0.5]]), np.array([5.0, 1.0]), np.array([[0.0, 1.0]] * 2))
            ),
            "half of it undecodable": replace(history(30), read=half_of_it),
            **({"two properties": with_another_property(history(30))} if takes_several else {}),
        }

    @classmethod
    def built(cls) -> Sampler:
        """A new instance."""
        sampler: Sampler = cls.plugin_class()(cls.chosen())
        return sampler

    @classmethod
    def given(cls, past: History, seed: int = 5) -> History:
        """The history, with candidates in an order drawn by the seed where the sampler draws from a pool."""
        pool = compositions(_N_CANDIDATES)
        if cls.plugin_class().space == "formula":
            past = replace(past, reference=pool)
        if not cls.plugin_class().draws_from_pool:
            return past
        return replace(past, candidates=pool[np.random.default_rng(seed).permutation(len(pool))])

    @classmethod
    @once
    def batches(cls) -> Sequence[tuple[str, History, int, Proposals]]:
        """A point and a batch for each history: name, history, size, and what is proposed."""
        made = []
        for name, history_of in cls.histories().items():
            past = cls.given(history_of)
            for n in (1, cls.n_batch):
                asked = f"history {name!r}, n = {n}"
                with kept(cls, f"{_GIVES} ({asked})", cure=_AS_PROPOSALS):
                    proposals = cls.built().suggest(past, n, seed=5)
                    _require_shapes(proposals, past, n)
                made.append((asked, past, n, proposals))
        return made

    @promised(
        "an instance made of its options has every member of agd.protocols.Sampler",
        cure="give the class `__init__(self, options)` and `suggest(self, history, n, *, seed)`",
    )
    def test_an_instance_is_a_sampler(self) -> None:
        """Made as a campaign makes it."""
        require(isinstance(self.built(), Sampler), "it is no agd.protocols.Sampler")

    @promised(_GIVES, cure=_AS_PROPOSALS)
    def test_proposals_have_their_shapes(self) -> None:
        """With every history, one at a time and in a batch."""
        self.batches()

    @promised(
        "latent points are proposed where its space is latent, compositions where its space are formulas",
        cure='say `space: ClassVar[Space] = "formula"` of a sampler that gives Proposals(counts=...), else "latent"',
    )
    def test_it_proposes_what_its_space_says(self) -> None:
        """A campaign trains an autoencoder for the one, and none for the other."""
        space = self.plugin_class().space
        for name, _, _, proposals in self.batches():
            given = "latent" if proposals.counts is None else "formula"
            require(given == space, f"{name}: it proposes points of the space {given!r}, and says {space!r}")

    @promised(
        "parents are reduced formulas, each once for a suggestion, with a word on how it was made from them",
        cure="name them by agd.chem.identity.identify(counts).reduced_formula in agd.types.Parent(formula, operator)",
    )
    def test_parents_are_named(self) -> None:
        """They become rows, for `agd why`."""
        for name, _, _, proposals in self.batches():
            for parents in proposals.parents:
                formulas = [parent.reduced_formula for parent in parents]
                counts, problems = parse_formulas(formulas)
                is_reduced = not problems and (not formulas or identify(counts).reduced_formula == formulas)
                require(is_reduced, f"{name}: {', '.join(formulas)} are no reduced formulas")
                require(len(set(formulas)) == len(formulas), f"{name}: {', '.join(formulas)} name one twice")
                require(all(parent.operator.strip() for parent in parents), f"{name}: an operator is empty")

    @promised(
        "latent points are finite, distinct and inside the bounds, as float32 holds them",
        cure="draw within history.bounds, round by `.astype(np.float32)`, and draw again where a point repeats another",
    )
    def test_points_are_distinct_and_inside_the_bounds(self) -> None:
        """A record keeps a latent vector as float32."""
        for name, past, n, proposals in self.batches():
            latents = proposals.latents
            if latents is not None:
                require_inside(latents, past.bounds, name)
                n_distinct = len(np.unique(latents.astype(np.float32), axis=0))
                require(n_distinct == n, f"{name}: {n_distinct} of {n} points are distinct")

    @promised(
        "compositions are distinct and none that the campaign knows, whatever multiple they are written as",
        cure="compare agd.chem.identity.identify(counts).reduced_formula with history.seen and with each other",
    )
    def test_compositions_are_new(self) -> None:
        """What is known or repeated would be charged for nothing."""
        for name, past, _, proposals in self.batches():
            counts = proposals.counts
            if counts is not None:
                require((counts >= 0).all(), f"{name}: a count is below zero")
                require(counts.any(axis=1).all(), f"{name}: a composition has no atoms")
                formulas = identify(counts).reduced_formula
                require(len(set(formulas)) == len(formulas), f"{name}: a composition comes twice")
                known = past.seen & set(formulas)
                require(not known, f"{name}: {', '.join(sorted(known))} is in history.seen")

    @promised("suggest is a pure function of history and seed", cure=_PURE)
    def test_the_same_history_and_seed_give_the_same(self) -> None:
        """A resumed campaign asks a new instance, and must get what the interrupted one got."""
        past, n = self.given(self.histories()["ordinary"]), min(3, self.n_batch)
        sampler = self.built()
        first = sampler.suggest(past, n, seed=1)
        sampler.suggest(self.given(self.histories()["some unlabelled"]), 1, seed=2)
        with other_global_randomness():
            for again, whose in ((sampler.suggest(past, n, seed=1), "the same"), (self._anew(past, n), "a new")):
                for field in ("latents", "counts", "posterior_mean", "posterior_sd", "acquisition"):
                    one, other = getattr(first, field), getattr(again, field)
                    if one is not None or other is not None:
                        require_same(one, other, f"{whose} instance gives other {field} for the same history and seed")

    @promised(
        "another seed gives other proposals",
        cure="draw from np.random.default_rng(seed); say `is_random = False` in the contract of one that draws nothing",
    )
    def test_the_seed_decides(self) -> None:
        """Repeated campaigns differ by their seed alone."""
        for name in ("ordinary", "no label"):
            past = self.histories()[name]
            one, other = (points_of(self.built().suggest(self.given(past, seed), 3, seed=seed)) for seed in (1, 2))
            require(not self.is_random or not np.array_equal(one, other), f"{name}: seeds 1 and 2 give the same")

    @promised("the history is left as it was", cure="work on copies: `history.latents.copy()`")
    def test_the_history_is_untouched(self) -> None:
        """The step that asks goes on with it."""
        past = self.given(self.histories()["some unlabelled"])
        arrays = {name: getattr(past, name) for name in ("latents", "objectives", "bounds", "counts", "candidates")}
        before = {name: array.copy() for name, array in arrays.items() if array is not None}
        self.built().suggest(past, 2, seed=5)
        for name, array in before.items():
            require_same(array, arrays[name], f"history.{name} is changed")

    @promised(
        "one that draws from a pool proposes candidates, and raises ExhaustedError where none is new",
        cure="choose among the rows of history.candidates, and raise agd.errors.ExhaustedError where all are seen",
    )
    def test_what_is_drawn_from_a_pool_is_in_it(self) -> None:
        """A campaign whose pool is spent ends; one whose sampler fails does not."""
        if not self.plugin_class().draws_from_pool:
            return
        past, pool = self.given(self.histories()["ordinary"]), compositions(_N_CANDIDATES)
        known = frozenset(identify(pool).reduced_formula)
        counts = self.built().suggest(past, self.n_batch, seed=5).counts
        require(counts is not None, "it proposes latent points")
        strangers = set(identify(np.asarray(counts)).reduced_formula) - known
        require(not strangers, f"{', '.join(sorted(strangers))} is no candidate")
        for spent in (replace(past, candidates=pool[:0]), replace(past, seen=past.seen | known)):
            try:
                self.built().suggest(spent, 1, seed=5)
            except ExhaustedError:
                continue
            require(is_kept=False, found="it proposes something where every candidate is seen")

    @promised(
        "candidates are only for one that says `draws_from_pool = True`",
        cure="say `draws_from_pool: ClassVar[bool] = True`, or leave history.candidates alone",
    )
    def test_candidates_are_for_who_says_so(self) -> None:
        """A campaign gives them to no other."""
        if self.plugin_class().draws_from_pool:
            return
        past = self.histories()["ordinary"]
        alone = points_of(self.built().suggest(past, 2, seed=5))
        beside = self.built().suggest(replace(past, candidates=compositions(_N_CANDIDATES)), 2, seed=5)
        require(np.array_equal(alone, points_of(beside)), "with candidates it proposes something else")

    def _anew(self, past: History, n: int) -> Proposals:
        return self.built().suggest(past, n, seed=1)


class PublishedSamplerContract(SamplerContract):
    """The contract of a sampler of latent points that serves `mode = "paper"` too (arXiv 2103.00608)."""

    @promised(
        "in the published loop a batch goes on until n points can be decoded, at most 100 n",
        cure="where history.undecodable_objective is given, ask history.read of each point, and stop at formula n",
    )
    def test_a_published_batch_goes_on_until_n_can_be_decoded(self) -> None:
        """Points may repeat there."""
        for name, past in self.histories().items():
            published = replace(past, undecodable_objective=0.0, read=half_of_it)
            proposals = self.built().suggest(published, 2, seed=5)
            latents = points_of(proposals)
            found = half_of_it(latents)
            is_over = len(found) == 2 * _N_TRIES or (found.count(_SOMETHING) == 2 and found[-1] is not None)  # noqa: PLR2004
            require(is_over and found.count(_SOMETHING) <= 2, f"history {name!r}: {found}")  # noqa: PLR2004
            require_inside(latents, past.bounds, f"history {name!r}")
            require_measures(proposals, len(found))

    @promised(
        "in the published loop a batch gives up after a hundred suggestions for each point",
        cure="stop at 100 n points, whatever could be decoded",
    )
    def test_a_published_batch_gives_up(self) -> None:
        """Nothing there can be decoded."""
        past = replace(
            history(3, bounds=[[0.0, 1.0]]), undecodable_objective=-1.0, read=lambda points: [None] * len(points)
        )
        n = len(points_of(self.built().suggest(past, 1, seed=0)))
        require(n == _N_TRIES, f"it makes {n} suggestions for one point where none can be decoded")

    @promised("in the published loop a batch that cannot be read has n points", cure="take every point as decodable")
    def test_a_published_batch_that_cannot_be_read_has_n_points(self) -> None:
        """`history.read` is None there."""
        past = replace(self.histories()["ordinary"], undecodable_objective=0.0)
        n = len(points_of(self.built().suggest(past, 3, seed=0)))
        require(n == 3, f"it makes {n} suggestions where 3 are asked for")  # noqa: PLR2004


_SOMETHING = "NaCl"


def half_of_it(points: Floats) -> Sequence[str | None]:
    """What points `[n, d]` stand for, where nothing can be decoded above 0.25 of the first axis."""
    return [None if x > 0.25 else _SOMETHING for x in points[:, 0]]  # noqa: PLR2004


def compositions(n: int) -> Counts:
    """Halides of two or three elements, `[n, 103]`; some of them are the same."""
    counts = np.zeros((n, 103), dtype=np.int32)
    for row in range(n):
        counts[row, [10 + row % 7, 25 + row % 5, 8 + 8 * (row % 2)]] = 1 + row % 3, 1, 2 + row % 4
    return counts


def history(n: int, *, bounds: list[list[float]] | None = None) -> History:
    """A history of `n` labelled points in a box."""
    rng = np.random.default_rng(7)
    box = np.array(bounds or [[-1.5, 2.0]] * _N_LATENT)
    latents = rng.uniform(box[:, 0], box[:, 1], (n, len(box))).astype(np.float32).astype(np.float64)
    return with_compositions(History(latents, np.sin(latents.sum(axis=1)) + 0.05 * rng.standard_normal(n), box))


def without_latents(past: History) -> History:
    """The history as a campaign has it that trains no autoencoder."""
    return replace(past, latents=np.zeros((len(past.objectives), 0)), bounds=np.zeros((0, 2)))


def with_compositions(past: History) -> History:
    """The history with a composition for each row."""
    n = len(past.objectives)
    counts = compositions(n)
    seen = frozenset(identify(counts).reduced_formula)
    return replace(past, counts=counts, n_initial=min(n, _N_INITIAL), seen=seen)


def with_another_property(past: History) -> History:
    """The history with a second property, of which every third row is unknown."""
    values = np.linspace(-1.0, 1.0, len(past.objectives))
    values[::3] = np.nan
    return replace(past, sought=[Sought(past.objectives, 0.5, None), Sought(values, None, 0.25)])


def _with_objectives(objectives: list[float]) -> History:
    return replace(history(len(objectives)), objectives=np.array(objectives))


def points_of(proposals: Proposals) -> Any:
    """The latent points or the compositions."""
    return proposals.counts if proposals.latents is None else proposals.latents


def _require_shapes(proposals: object, past: History, n: int) -> None:
    require(isinstance(proposals, Proposals), f"it gives {type(proposals).__name__}")
    assert isinstance(proposals, Proposals)  # noqa: S101  # as required
    n_given = n
    if proposals.latents is not None:
        require_array(proposals.latents, (n, len(past.bounds)), "floating", "latents")
    else:
        n_given = len(np.asarray(proposals.counts))
        require(1 <= n_given <= n, f"{n_given} compositions")
        require_array(proposals.counts, (n_given, 103), "integer", "counts")
    require_measures(proposals, n_given)
    for number, one in proposals.expected.items():
        require(number in range(1, len(past.sought) + 1), f"it expects something of property {number!r}")
        for part in (one.values, one.uncertainties):
            require_array(part, (n_given,), "floating", f"what is expected of property {number}")


def require_inside(latents: Floats, bounds: Floats, what: str) -> None:
    """Require that points `[n, d]` are finite and inside the box `[d, 2]` once they are float32."""
    kept = latents.astype(np.float32).astype(np.float64)
    require(np.isfinite(kept).all(), f"{what}: a point is not finite")
    is_outside = (kept < bounds[:, 0]) | (kept > bounds[:, 1])
    if is_outside.any():
        row, axis = np.argwhere(is_outside)[0]
        require(
            is_kept=False,
            found=f"{what}: point {row} is {kept[row, axis]} on axis {axis}, where the box is {bounds[axis].tolist()}",
        )


def require_measures(proposals: Proposals, n: int) -> None:
    """Require mean, deviation and acquisition `[n]`, each finite or NaN."""
    for name in ("posterior_mean", "posterior_sd", "acquisition"):
        measure = getattr(proposals, name)
        require_array(measure, (n,), "floating", name)
        require(not np.isinf(measure).any(), f"{name} is infinite")
