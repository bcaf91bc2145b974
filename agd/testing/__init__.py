"""Contract suites: what `agd` expects of a plug-in, for whoever writes one.

A subclass names the plug-in, and pytest does the rest:

    from agd.testing import SamplerContract

    class TestSpread(SamplerContract):
        plugin = Spread

Without pytest, `TestSpread.broken_promises()` lists what is not kept. pytest is not imported here.
"""

from agd.testing.autoencoders import AutoencoderContract
from agd.testing.dft_engines import DftEngineContract
from agd.testing.formula_generators import FormulaGeneratorContract
from agd.testing.oracles import OracleContract
from agd.testing.potentials import PotentialContract
from agd.testing.promises import BrokenPromiseError
from agd.testing.samplers import PublishedSamplerContract, SamplerContract
from agd.testing.structure_oracles import StructureOracleContract
from agd.testing.templates import TemplatesContract

__all__ = [
    "AutoencoderContract",
    "BrokenPromiseError",
    "DftEngineContract",
    "FormulaGeneratorContract",
    "OracleContract",
    "PotentialContract",
    "PublishedSamplerContract",
    "SamplerContract",
    "StructureOracleContract",
    "TemplatesContract",
]
