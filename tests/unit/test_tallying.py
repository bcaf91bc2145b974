import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.formula import parse_formulas
from agd.chem.identity import reduce_counts
from agd.chem.spelling import spell
from agd.steps.generation.tallying import Tally
from agd.types import Counts


def random_counts(n: int, seed: int) -> Counts:
    """Few enough kinds that most rows repeat."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((n, N_ELEMENTS), np.int32)
    counts[np.arange(n), rng.integers(0, 6, n)] = rng.integers(1, 4, n)
    counts[np.arange(n), rng.integers(6, 11, n)] = rng.integers(0, 4, n)
    return counts


@pytest.mark.parametrize("size", [1, 7, 400, 2000])
def test_a_tally_is_what_counting_one_by_one_gives(size: int) -> None:
    counts = reduce_counts(random_counts(2000, seed=4))
    tally, firsts = Tally(), []
    for start in range(0, len(counts), size):
        firsts += (start + tally.add(counts[start : start + size])).tolist()
    keys = [row.tobytes() for row in counts]
    often = Counter(keys)
    expected = list({key: i for i, key in reversed(list(enumerate(keys)))}.values())
    assert firsts == sorted(expected)
    assert tally.n_samples.tolist() == [often[keys[i]] for i in firsts]
    assert len(tally) == len(often) < 400


def test_a_tally_knows_what_it_met() -> None:
    counts = reduce_counts(random_counts(300, seed=1))
    others = parse_formulas(["PuF3", "UO2"])[0]
    tally = Tally()
    assert tally.n_met(others) == 0
    assert tally.add(counts[:0]).tolist() == []
    tally.add(counts)
    assert tally.n_met(np.concatenate([np.unique(counts, axis=0), others])) == len(tally)


def test_formulas_are_written_as_generators_write_them() -> None:
    words = ["SrYF5", "Na2Cl2", "Ba2AgBr6S2F", "Nb1La1Se2Ge2O4", "Ag", "O2"]
    counts = np.concatenate([parse_formulas(words)[0], np.zeros((1, N_ELEMENTS), np.int32)])
    assert spell(counts) == ["SrYF5", "Na2Cl2", "AgBa2Br6S2F", "NbLaSe2Ge2O4", "Ag", "O2", ""]
    assert spell(counts[:0]) == []
    every = np.eye(N_ELEMENTS, dtype=np.int32)
    assert sorted(spell(every)) == sorted(SYMBOLS)


def test_the_published_formulas_are_written_so(real_data: Path) -> None:
    with (real_data / "paper" / "matgan_icsd_sample_data.csv").open(newline="") as file:
        published = [row[0] for row in csv.reader(file) if row]
    counts, problems = parse_formulas(published)
    assert not problems
    assert spell(counts) == published
