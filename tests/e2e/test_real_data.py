"""The sizes that matter, on the real tables."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from agd import spec
from agd.chem.identity import identify
from agd.chem.onehot import is_encodable
from agd.nets.threads import limited_threads
from agd.plugins.autoencoders.set_autoencoder import SetAutoencoder
from agd.steps.campaign.opening import plan
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.compositions import counts_of
from agd.steps.data.importing import import_dataset
from agd.steps.data.tabular import read_formulas
from agd.types import TrainingTable
from agd.work.workspace import Workspace

SPEC = """\
name = "wide-gap"
target = "band_gap > 6 eV"

[data]
dataset = "mp-2021"

[initial]
file = "{folder}/Exp3_BS_0.3k.csv"

[autoencoder]
corpus = "mp-formulas"

[oracle]
exclude = ["{folder}/bd_test_only.csv"]
"""


def test_the_tables_of_the_paper(workspace: Workspace, real_data: Path, tmp_path: Path) -> None:
    paper = real_data / "paper"
    rules = ImportRules("composition", "Eg", "band_gap", "eV")
    first = import_dataset(workspace, paper / "Exp1_42k.csv", "mp-2021", rules)
    assert (first.n_read, first.n_imported, len(first.rejects)) == (42_669, 42_669, 0)
    assert import_dataset(workspace, paper / "Exp1_42k.csv", "mp-2021", rules).was_there
    formulas = import_dataset(workspace, paper / "mpid_formula_sp.csv", "mp-formulas", ImportRules("pretty_formula"))
    assert (formulas.n_read, formulas.n_imported) == (123_805, 89_375)  # 89,374 distinct and sodium nitride, "NaN"
    with workspace.database.read() as tx:
        counted = tx.execute(
            text(
                "SELECT (SELECT count(*) FROM label), (SELECT count(*) FROM dataset),"
                " (SELECT count(*) FROM composition) - (SELECT count(*) FROM verdict),"
                " (SELECT count(*) FROM dataset_row r JOIN composition c ON c.id = r.composition_id"
                " WHERE c.reduced_formula = 'NaN' AND r.formula = 'NaN')"
            )
        ).one()
    assert tuple(counted) == (42_669, 2, 0, 1)

    (tmp_path / "c.toml").write_text(SPEC.format(folder=paper))
    planned = plan(workspace, spec.read(tmp_path / "c.toml"))
    assert planned.initial_rows == 300
    assert planned.oracle_rows == 42_669 - 300 - 500
    assert planned.corpus_rows == 82_907


@pytest.mark.slow
def test_the_autoencoder_returns_what_it_was_given(real_data: Path) -> None:
    """Exact round trip of formulas it never saw, with its default options."""
    rows = read_formulas(real_data / "paper" / "mpid_formula_sp.csv", "pretty_formula")
    counts = counts_of(sorted({row.formula for row in rows}))
    counts = counts_of(sorted(set(identify(counts).reduced_formula)))
    counts = counts[is_encodable(counts)]
    held_out = np.zeros(len(counts), dtype=bool)
    held_out[np.random.default_rng(0).choice(len(counts), size=len(counts) // 5, replace=False)] = True
    table = TrainingTable(counts=counts, values=None, is_held_out=held_out)
    with limited_threads(1):
        fitted = SetAutoencoder.fit(table, SetAutoencoder.options_type(), seed=0)
    assert fitted.metrics["round_trip"] >= 0.995
    assert fitted.metrics["box_undecodable"] < 0.3
