"""Compositions as the record holds them: their counts, and their rows with what the rules of validity say."""

from collections.abc import Sequence
from typing import Any

from agd.chem import smact_validity, validity
from agd.chem.formula import parse_formulas
from agd.chem.identity import Identities
from agd.db.connection import Transaction
from agd.db.record import datasets
from agd.db.record.datasets import CompositionRow, Ids
from agd.types import Counts


def counts_of(formulas: Sequence[str]) -> Counts:
    """Counts `[n, 103]` of formulas that the record holds, which therefore parse."""
    counts, problems = parse_formulas(formulas)
    if problems:
        raise ValueError(f"the record holds a formula that does not parse: {problems[0].message}")
    return counts


RULES = (validity, smact_validity)
"""Every rule of validity; a rule is a module that says its name, version and options, and assesses compositions."""


def store_compositions(tx: Transaction, named: Identities, activity_id: int, rules: Sequence[Any] = RULES[:1]) -> Ids:
    """Store compositions with the verdicts of some rules; ids `[n]` in the order of the table, which may repeat one."""
    rows = [
        CompositionRow(*row)
        for row in zip(
            named.reduced_formula,
            named.chemical_system,
            named.anonymous_formula,
            named.n_elements.tolist(),
            named.n_atoms.tolist(),
            strict=True,
        )
    ]
    ids = datasets.store_compositions(tx, rows, activity_id)
    for rule in rules:
        verdicts = rule.assess(named.counts)
        spoken = zip(verdicts.is_charge_neutral.tolist(), verdicts.is_electronegativity_balanced.tolist(), strict=True)
        rows_of_verdicts = (
            (i, *(verdict if speaks else (None, None)))
            for i, speaks, verdict in zip(ids.tolist(), verdicts.is_applicable.tolist(), spoken, strict=True)
        )
        identity = (rule.RULE, rule.RULE_VERSION, rule.OPTIONS)
        datasets.store_verdicts(tx, identity, activity_id, rows_of_verdicts)
    return ids
