"""Generators trained on ICSD entries, and what they made, found again in the record where it is there."""

import hashlib
from pathlib import Path
from typing import Final

from agd.errors import InputError
from agd.filters import PUBLISHED_TRIMS
from agd.reproduction import paper
from agd.reproduction.study import Study
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_once
from agd.steps.generation.generating import GenerationPlan, generate
from agd.steps.generation.tallying import Keeping
from agd.steps.models import plugin_options
from agd.steps.models.training import Recipe, Trained, train_by_hand
from agd.steps.models.training_sets import find_dataset, representable
from agd.views import Generation

DEFAULT: Final = "matgan"
PAPER: Final = "matgan-paper"

_ICSD_NAME: Final = "agd-icsd"
_INDEX: Final = Path("..") / "structures" / "mp_index.csv.gz"
_HELD_OUT: Final = 0.1
TRIMS: Final = Keeping("valid", **PUBLISHED_TRIMS.given())


def icsd(study: Study) -> str:
    """The dataset of formulas that generators learn from: ICSD entries of the Materials Project.

    Raises:
        InputError: the list is not there.
    """
    path = index(study)
    with path.open("rb") as file:
        name = f"{_ICSD_NAME}-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"
    return import_once(study.workspace, path, name, ImportRules("formula", where={"icsd": "1"}))


def index(study: Study) -> Path:
    """The table of entries of the Materials Project.

    Raises:
        InputError: it is not there.
    """
    path = study.generator_corpus or study.files.folder / _INDEX
    if not path.is_file():
        raise InputError(
            f"{path}: not there; generators learn from a table with the columns formula and icsd (1 for an entry of "
            "the ICSD), the judge of stability from its e_hull_eV_atom: say --corpus and its name"
        )
    return path


def trained(study: Study, kind: str = DEFAULT) -> Trained:
    """The generator of a kind, trained where it is not in the record yet."""
    options = plugin_options.parse("agd.formula_generators", kind, [])
    corpus = icsd(study)
    with study.workspace.database.read() as tx:
        parts = representable(tx, find_dataset(tx, corpus), kind, share=_HELD_OUT, seed=study.protocol.seed)
    recipe = Recipe("generator", kind, None, options, study.protocol.seed, study.threads)
    with study.watch(f"generator {kind}") as progress:
        return train_by_hand(study.workspace, recipe, parts, progress)


def sampled(study: Study, model: Trained, n: int, keeping: Keeping | None = None) -> Generation:
    """What a generator's first `n` samples come to, with the stages of `agd generate`."""
    assert model.model_version_id is not None  # noqa: S101  it was trained
    rule = keeping or Keeping()
    kept = "-valid" if rule.keep == "valid" else ""
    name = f"agd-{model.recipe.plugin}-{model.recipe_sha256[:8]}-{study.protocol.seed}-{n}{kept}"
    plan = GenerationPlan(name, model.model_version_id, n, study.protocol.seed, keeping=rule, threads=study.threads)
    with study.watch(f"generate {n:,} by {model.recipe.plugin}") as progress:
        return generate(study.workspace, plan, progress=progress)


def generated(study: Study) -> str:
    """The dataset of generated formulas that pass the paper's trims and its validity rule."""
    return sampled(study, trained(study), study.protocol.n_generated, TRIMS).generation


ABOUT_POOL: Final = (
    f"The paper generates 2.99 million formulas and keeps {paper.N_SCREENED:,} after its trims (at most 20 atoms, 5 "
    "elements, 7 atoms of one element) and its validity rule. The pool here is that of a generator trained on the ICSD "
    "entries of the Materials Project, by the same trims and rule."
)
