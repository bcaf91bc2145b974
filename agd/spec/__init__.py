"""A campaign's specification: one TOML file, or a mapping of the same content."""

from agd.answerers import ANSWERERS, MODEL, Answerer
from agd.spec.campaign import (
    MAX_PROPERTIES,
    NAME,
    AutoencoderSpec,
    CampaignSpec,
    Goal,
    numbered,
)
from agd.spec.reading import (
    CONTROLS,
    ResolvedSpec,
    control,
    controls,
    differences,
    from_mapping,
    hash_of,
    in_units,
    parse,
    read,
    with_options,
)

__all__ = [
    "ANSWERERS",
    "CONTROLS",
    "MAX_PROPERTIES",
    "MODEL",
    "NAME",
    "Answerer",
    "AutoencoderSpec",
    "CampaignSpec",
    "Goal",
    "ResolvedSpec",
    "control",
    "controls",
    "differences",
    "from_mapping",
    "hash_of",
    "in_units",
    "numbered",
    "parse",
    "read",
    "with_options",
]
