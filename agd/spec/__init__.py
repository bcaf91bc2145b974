"""A campaign's specification: one TOML file, or a mapping of the same content."""

from agd.spec.campaign import (
    ANSWERERS,
    MODEL,
    NAME,
    Answerer,
    AutoencoderSpec,
    CampaignSpec,
)
from agd.spec.reading import (
    CONTROLS,
    ResolvedSpec,
    control,
    controls,
    differences,
    from_mapping,
    hash_of,
    parse,
    read,
    with_options,
)

__all__ = [
    "ANSWERERS",
    "CONTROLS",
    "MODEL",
    "NAME",
    "Answerer",
    "AutoencoderSpec",
    "CampaignSpec",
    "ResolvedSpec",
    "control",
    "controls",
    "differences",
    "from_mapping",
    "hash_of",
    "parse",
    "read",
    "with_options",
]
