"""The targets by name, and about how long each takes."""

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Final, TypeAlias

from agd.errors import InputError, NotFoundError
from agd.registry import suggestion
from agd.reproduction import paper
from agd.reproduction.outcome import Outcome
from agd.reproduction.study import Protocol, Study, Wish

Make: TypeAlias = Callable[[Study, Wish], Outcome]

_MODULES: Final = MappingProxyType(
    {
        "table1": "table1",
        "fig4": "distribution",
        "fig5": "kappa",
        "fig8": "tsne",
        "recovery": "recovery",
        "direct": "direct",
        "screen24": "screen24",
        "exp1": "experiments",
        "exp2": "experiments",
        "exp3": "experiments",
        "exp4": "experiments",
        "matgan": "matgan",
        "retrieval": "retrieval",
        "search": "proposals",
        "oracles": "oracles",
        "screeners": "screeners",
    }
)
"""Each target is the function of its own name in one of these."""

ALL: Final = "all"

_OURS: Final = ("retrieval", "search", "oracles", "screeners")
"""What the paper has nothing of."""

_WITH_LISTS: Final = ("recovery", "direct")
_WITH_DATA: Final = ("table1", "exp1", "exp2", "exp3", "fig4", "fig5", "fig8", "direct")
"""What the authors ship candidates for, and data or logs."""

ALIASES: Final = MappingProxyType({"kappa": "fig5", "tsne": "fig8", "t-sne": "fig8"})


def chosen(name: str, wish: Wish) -> dict[str, Make]:
    """The functions of a target; of all of them those that have something of what is asked for.

    Raises:
        NotFoundError: there is no such target.
        InputError: the target has nothing of the authors' own.
    """
    name = ALIASES.get(name, name)
    if name != ALL and name not in _MODULES:
        raise NotFoundError(f"no target {name!r}{suggestion(name, [*_MODULES, ALL])}")
    names = [one for one in _MODULES if one not in _OURS] if name == ALL else [name]
    for is_asked, option, having in (
        (wish.is_authors_data, "--authors-data", _WITH_DATA),
        (wish.is_authors_lists, "--authors-lists", _WITH_LISTS),
    ):
        if is_asked and name != ALL and name not in having:
            raise InputError(f"{option}: the authors ship nothing for {name}; it is for {', '.join(having)}")
        names = [one for one in names if not is_asked or one in having]
    return {one: getattr(import_module(f"agd.reproduction.{_MODULES[one]}"), one) for one in names}


def estimate(names: Collection[str], protocol: Protocol, wish: Wish) -> float:
    """Seconds that targets take on two cores where nothing of them is in the record; what they share counts once."""
    pieces: dict[str, float] = {}
    for name in names:
        for piece in _NEEDS[name](wish):
            pieces[piece] = _SECONDS[piece](protocol)
    return 10.0 * len(names) + sum(pieces.values())


_ROW_EPOCH_S: Final = 25.0 / 25_601
_FOREST_S: Final = 100.0
_BOOSTING_S: Final = 60.0
_CAMPAIGN_S: Final = 100.0
_PAPER_CAMPAIGN_S: Final = 420.0
_N_ARMS: Final = 6
_N_KAPPAS: Final = 7


def _roost_s(n_rows: int, epochs: int) -> float:
    return 0.6 * n_rows * epochs * _ROW_EPOCH_S


def _small_rows_s(protocol: Protocol) -> float:
    return protocol.repeats * _small_row_s(protocol)


def _small_row_s(protocol: Protocol) -> float:
    return _roost_s(sum(n for row, n in paper.N_ROWS.items() if row != "Exp1"), protocol.epochs)


def _searches_s(protocol: Protocol) -> float:
    each = _N_ARMS * _CAMPAIGN_S + _PAPER_CAMPAIGN_S
    return _FOREST_S + protocol.al_seeds * each * protocol.calls / 1000


def _roost_of_searches_s(protocol: Protocol) -> float:
    return 3 * protocol.al_seeds * _roost_s(300 + protocol.calls, protocol.epochs)


_SECONDS: Final[Mapping[str, Callable[[Protocol], float]]] = {
    "oracle": lambda p: p.oracle_repeats * _roost_s(paper.N_ROWS["Exp1"], p.oracle_epochs),
    "small": _small_rows_s,
    "small at best": _small_row_s,
    "trees": lambda _: 2 * _FOREST_S + 2 * _BOOSTING_S,
    "forest": lambda _: _FOREST_S,
    "autoencoder": lambda _: 120.0,
    "generator": lambda p: 200.0 + 120e-6 * p.n_generated,
    "paper generator": lambda _: 900.0,
    "exp2": _searches_s,
    "exp3": _searches_s,
    "exp4": _searches_s,
    "exp2 Roost": lambda p: _roost_of_searches_s(p) * 1.5,
    "exp3 Roost": _roost_of_searches_s,
    "kappa": lambda p: _N_KAPPAS * (_CAMPAIGN_S + _PAPER_CAMPAIGN_S) * p.calls / 1000,
    "two searches of Exp3": lambda p: p.al_seeds * (_CAMPAIGN_S + _PAPER_CAMPAIGN_S) * p.calls / 1000,
    "retrieval": lambda p: p.al_seeds * 3 * 150.0 * p.calls / 1000,
    "own proposals": lambda p: 300.0 + p.al_seeds * 4 * 110.0 * p.calls / 1000,
    "blind spots": lambda p: p.oracle_repeats * (2300.0 if p.oracle_repeats == 1 else 6600.0),
    "sources of labels": lambda p: 300.0 + p.al_seeds * 3 * _CAMPAIGN_S * p.calls / 1000,
    "two searches": lambda p: (_CAMPAIGN_S + _PAPER_CAMPAIGN_S) * p.calls / 1000,
}


def _own(*pieces: str) -> Callable[[Wish], Collection[str]]:
    """Pieces that are left out where only the authors' data are asked for."""
    return lambda wish: () if wish.is_authors_data or wish.is_authors_lists else pieces


def _exp(name: str) -> Callable[[Wish], Collection[str]]:
    return lambda wish: ("small", *_own("autoencoder", "generator", name, f"{name} Roost")(wish))


_NEEDS: Final[Mapping[str, Callable[[Wish], Collection[str]]]] = {
    "table1": lambda wish: (
        "oracle",
        "small",
        "small at best",
        "trees",
        *_own("autoencoder", "exp2", "exp3", "exp2 Roost", "exp3 Roost")(wish),
    ),
    "fig4": lambda _: (),
    "fig5": _own("autoencoder", "kappa"),
    "fig8": lambda wish: ("autoencoder", *_own("two searches")(wish)),
    "recovery": lambda wish: () if wish.is_authors_lists else ("oracle", "small", "generator"),
    "direct": _own("autoencoder", "two searches of Exp3"),
    "screen24": lambda _: ("forest", "generator"),
    "exp1": lambda _: ("oracle", "trees"),
    "exp2": _exp("exp2"),
    "exp3": _exp("exp3"),
    "exp4": _own("autoencoder", "generator", "exp4"),
    "matgan": lambda _: ("generator", "paper generator"),
    "retrieval": _own("retrieval"),
    "search": _own("own proposals"),
    "oracles": _own("blind spots"),
    "screeners": _own("sources of labels"),
}
