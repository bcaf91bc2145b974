"""What one section of a specification asks of another; every refusal with file, line and key."""

from agd.errors import SpecError
from agd.spec.campaign import DEFAULT_SAMPLER, CampaignSpec, OracleSpec, SamplerSpec
from agd.spec.places import Places
from agd.spec.toml import spelled


def check(places: Places, spec: CampaignSpec) -> None:
    """Refuse a sampler without its pool, and several properties where they cannot be sought.

    Raises:
        SpecError: the message has file, line and key.
    """
    _check_pool(places, spec.sampler)
    _check_properties(places, spec)


def _check_pool(places: Places, sampler: SamplerSpec) -> None:
    place = places.of("sampler", "pool")
    if sampler.draws_from_pool() and sampler.pool is None:
        raise SpecError(f"{place}: this key is needed, the dataset that sampler {sampler.kind!r} draws from")
    if sampler.pool is not None and not sampler.draws_from_pool():
        raise SpecError(
            f'{place}: sampler {sampler.kind!r} draws from no dataset: leave the key out, or take kind "pool"'
        )


def _check_properties(places: Places, spec: CampaignSpec) -> None:
    """Refuse several properties where that cannot be, and one of them that nobody answers."""
    names = [target.property for target in spec.targets]
    for name in spec.oracles:
        if name not in names[1:]:
            why = "[oracle] answers the first property" if name == names[0] else "no further property of the target"
            raise SpecError(f"{places.of('oracles', name)}: {why}: leave the section out")
    if len(names) == 1:
        return
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SpecError(f'{places.of("target")}: {twice} twice: write a window, "2 eV < band_gap < 4 eV"')
    if spec.mode == "paper":
        raise SpecError(f'{places.of("target")}: the published loop seeks one property: leave the others or "paper"')
    if not spec.sampler.takes_several_properties():
        raise SpecError(
            f"{places.of('target')}: sampler {spec.sampler.kind!r} seeks one property: name one, or take kind "
            f'"{DEFAULT_SAMPLER}" or "retrieval"'
        )
    for name in names[1:]:
        _check_further(places, name, spec.oracles.get(name))


def _check_further(places: Places, name: str, oracle: OracleSpec | None) -> None:
    """Refuse a further property that no model trained on a named dataset answers."""
    section = ("oracles", name)
    if oracle is None:
        raise SpecError(
            f"{places.of('target')}: nobody answers {name}: write a section [oracles.{spelled(name)}] with the"
            " dataset that its model is trained on"
        )
    if not oracle.answerer.is_model:
        raise SpecError(
            f"{places.of(*section, 'kind')}: {oracle.kind!r} answers the first property alone: a further one is"
            ' answered by a model, as "random_forest" or "ensemble"'
        )
    if oracle.dataset is None:
        raise SpecError(f"{places.of(*section, 'dataset')}: this key is needed, a dataset with values of {name}")
