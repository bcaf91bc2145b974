"""What others choose for a plug-in reaches only the options that it has."""

import pytest
from pydantic import Field

from agd.errors import InputError
from agd.plugins.oracles.forests import RandomForestOptions
from agd.protocols import Options
from agd.steps.models import plugin_options


class Bare(Options):
    depth: int | None = Field(None, description="Of a tree.")


class Stubborn(Options):
    minimum: float = Field(1.0, description="Chosen always.")


OFFERED = {"minimum": 0.0, "n_trees": 200, "threads": 4}


def test_only_what_a_plugin_knows_is_sent_to_it() -> None:
    assert plugin_options.known_to(RandomForestOptions, OFFERED) == {"minimum": 0.0, "n_trees": 200}
    assert plugin_options.known_to(Bare, OFFERED) == {}


def test_what_was_chosen_stays() -> None:
    assert plugin_options.completed(RandomForestOptions(n_trees=7), OFFERED) == RandomForestOptions(
        n_trees=7, minimum=0.0
    )
    assert plugin_options.completed(RandomForestOptions(minimum=-1.0), OFFERED) == RandomForestOptions(minimum=-1.0)
    assert plugin_options.completed(Stubborn(), OFFERED) == Stubborn()
    assert plugin_options.completed(Bare(), OFFERED) == Bare()
    assert plugin_options.completed(RandomForestOptions(), {"minimum": None}) == RandomForestOptions()


def test_two_plugins_share_what_both_have() -> None:
    assert plugin_options.shared(RandomForestOptions(minimum=2.0), {"minimum"}) == {"minimum": 2.0}
    assert plugin_options.shared(RandomForestOptions(), {"minimum"}) == {}
    assert plugin_options.shared(Bare(), {"minimum"}) == {}


def test_defaults_give_way_and_what_is_given_must_be_known() -> None:
    found = plugin_options.parse("agd.oracles", "random_forest", ["n_trees=9"], OFFERED)
    assert found == RandomForestOptions(n_trees=9, minimum=0.0)
    assert plugin_options.parse("agd.samplers", "pool", [], OFFERED).model_dump() == {}
    with pytest.raises(InputError, match="pool has no option 'n_trees'"):
        plugin_options.parse("agd.samplers", "pool", ["n_trees=9"], OFFERED)
