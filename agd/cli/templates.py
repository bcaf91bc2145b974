"""Commented specifications to start from."""

from pathlib import Path
from typing import Final

_HEAD: Final = """\
# A campaign of active generative design. Run it with `agd run {file}`; every key not given has a default.
name = "{name}"
"""

_COMMON: Final = """\
target = "band_gap > 6 eV"     # or "band_gap < 1 eV", or a window: "2 eV < band_gap < 4 eV"
seed = 42
threads = 1                    # rows are reproducible for the same number of threads and CPU type

[data]
dataset = "mp-2021"            # imported before, see `agd data import --help`
# known = ["mp-formulas"]      # more datasets whose compositions count as known

[initial]                      # the rows whose labels the campaign knows from the start
n = 300                        # a random sample of the dataset ...
seed = 0
# at_most = 3.0                # ... of rows with a value up to this
# file = "initial.csv"         # or the rows that this file lists (instead of n)
# formula_column = "composition"

[budget]
oracle_calls = 1000            # distinct compositions the oracle may be asked for
suggestions_per_iteration = 20
stall_after = 50               # end after so many iterations in a row without a new composition
"""

_ORACLE: Final = """
[oracle]                       # answers for a composition
kind = "random_forest"         # or "extra_trees", "hist_gradient_boosting", "lightgbm", "networks", "ensemble",
                               # "hurdle", "roost";
                               # "table" answers from the dataset only, "external" waits for `agd tell`
# exclude = ["held-out.csv"]   # files of formulas it must not be trained on
seed = 0
"""

_DEFAULT: Final = """\
# uses_known_labels = false    # ask the model also for what its dataset answers

[sampler]                      # suggests what to label next
kind = "analogue"              # children of the best and of known compositions; "retrieval" weighs the rows of a pool,
                               # "generator-pool" those of a generation; with an autoencoder "trust-region", "ucb",
                               # "ei", "stock"; controls: "random", "substitution", "pool"
# pool = "mp-formulas"         # the dataset that "retrieval", "generator-pool" and "pool" draw from
# surrogate = "gaussian_process"   # instead of extra trees; or "networks"
# acquisition = "thompson"     # or "lower_bound", "ei", "mean", or "random", which learns nothing
kappa = 1.0                    # standard deviations added to the mean: more of it explores more
max_per_system = 3             # most suggestions of one chemical system

[filter]                       # what is rejected before it is charged
is_neutral_in_common_states = true   # with one common oxidation state for each element
is_electronegativity_balanced = true
is_known_or_analogue = true    # known, or one element away from a known composition
max_radius_ratio = 1.42        # of the ion that comes in and the one it stands for
has_metal = true
max_elements = 5
max_atoms = 20
# elements_denied = ["F"]      # or elements_allowed
# must_contain = ["O"]
# max_count = 7
# is_smact_valid = true        # SMACT's smact_validity with its defaults
"""

_AUTOENCODER: Final = """
[autoencoder]                  # turns compositions into latent vectors and back
kind = "paper-dense"           # the published one-hot and decode rule; "paper": hours of CPU; or "set"
# corpus = "mp-formulas"       # a dataset of formulas to train on; the campaign's own if not given
seed = 0
"""

_PAPER: Final = """
[sampler]                      # suggests what to label next
kind = "ucb"                   # or "ei", "stock" (bayesian-optimization's own), "random"
kappa = 100.0                  # standard deviations added to the mean, as published
"""

_MODE: Final = """\
mode = "paper"                 # the published loop: undecodable points count as 0 in the sampler, repeats are charged,
                               # and nothing is rejected (arXiv 2103.00608)
"""


def template(file: Path, *, is_paper: bool = False) -> str:
    """A specification for that file, named after it."""
    head = _HEAD.format(file=file.name, name=file.stem)
    if is_paper:
        return head + _MODE + _COMMON + _AUTOENCODER + _ORACLE + _PAPER
    return head + _COMMON + _ORACLE + _DEFAULT
