"""Stability from the formula: how well oracles tell which compounds lie near the hull, on systems they have not seen.

Of each formula of the real index the lowest energy above the hull; chemical systems are held out whole. Near are those
within 50 meV/atom. Surest are those whose probability to be near is highest, by value and uncertainty. CPU seconds.
"""

import argparse
import csv
import gzip
import time
from collections.abc import Iterator

import numpy as np
from support import DATA  # type: ignore[import-not-found]  # beside this file

from agd import registry
from agd.chem.formula import parse_formulas
from agd.nets.threads import limited_threads
from agd.types import TrainingTable

NEAR_EV_PER_ATOM = 0.05
HELD_OUT = 0.2
N_SUREST = 200


def lowest() -> tuple[list[str], list[str], np.ndarray]:
    """Formulas, their chemical systems, and the lowest energy above the hull of each in eV/atom."""
    found: dict[str, tuple[float, str]] = {}
    with gzip.open(DATA / "structures" / "mp_index.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if row["e_hull_eV_atom"]:
                one = max(float(row["e_hull_eV_atom"]), 0.0), row["chemsys"]
                found[row["formula"]] = min(found.get(row["formula"], one), one)
    formulas = sorted(found)
    return formulas, [found[one][1] for one in formulas], np.array([found[one][0] for one in formulas])


def main() -> None:
    """Fit each kind and print what it is worth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="*", default=["extra_trees"])
    parser.add_argument("--limit", type=int, default=0, help="formulas that are learned; 0: all")
    parser.add_argument("--options", nargs="*", default=["answer=median"], help="KEY=VALUE, of the kinds that have it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    formulas, systems, values = lowest()
    counts, problems = parse_formulas(formulas)
    assert not problems, problems[0].message
    draw = np.random.default_rng(arguments.seed)
    names, system_of = np.unique(systems, return_inverse=True)
    is_out = (draw.random(len(names)) < HELD_OUT)[system_of]
    rest = draw.permutation(np.flatnonzero(~is_out))
    rows = np.sort(np.concatenate([np.flatnonzero(is_out), rest[: arguments.limit or len(rest)]]))
    table = TrainingTable(counts[rows], values[rows], is_out[rows])
    is_near = values[is_out] <= NEAR_EV_PER_ATOM
    print(
        f"{(~table.is_held_out).sum():,} formulas learned, {is_out.sum():,} of other systems held out, "
        f"{is_near.mean():.1%} of them within {1000 * NEAR_EV_PER_ATOM:.0f} meV/atom"
    )
    print(f"{'kind':>24} {'MAE':>6} {'AUC':>6} {'by p':>6} {N_SUREST} surest  near of those predicted so  CPU s")
    for kind in arguments.kinds:
        given = dict(pair.split("=", 1) for pair in arguments.options)
        print(" ".join(judged(kind, given, table, counts[is_out], values[is_out], arguments.seed)))


def judged(
    kind: str, given: dict[str, str], table: TrainingTable, counts: np.ndarray, values: np.ndarray, seed: int
) -> Iterator[str]:
    """The cells of a line."""
    from scipy.stats import norm
    from sklearn.metrics import roc_auc_score

    plugin = registry.load("agd.oracles", kind)
    chosen = {key: value for key, value in given.items() if key in plugin.options_type.model_fields}
    options = plugin.options_type.model_validate({"minimum": 0.0, **chosen})
    began = time.process_time()
    with limited_threads(1):
        fitted = plugin.fit(table, options, seed=seed)
        said = plugin.load(fitted.tensors, options).label(counts)
    seconds = time.process_time() - began
    is_near = values <= NEAR_EV_PER_ATOM
    chance = norm.cdf((NEAR_EV_PER_ATOM - said.values) / np.maximum(said.uncertainties, 1e-6))
    surest = np.argsort(-chance, kind="stable")[:N_SUREST]
    picked = said.values <= NEAR_EV_PER_ATOM
    yield f"{kind:>24}"
    yield f"{np.abs(said.values - values).mean():>6.3f}"
    yield f"{roc_auc_score(is_near, -said.values):>6.3f}"
    yield f"{roc_auc_score(is_near, chance):>6.3f}"
    yield f"{is_near[surest].mean():>10.1%}"
    yield f"{is_near[picked].mean():>13.1%} ({picked.sum():,})"
    yield f"{seconds:>14.0f}"


if __name__ == "__main__":
    main()
