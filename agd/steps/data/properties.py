"""Properties: listing them, adding one, and bringing values of another unit to the one that is kept."""

import math
import re

from agd import registry
from agd.db.connection import Transaction
from agd.db.record import activities, datasets, property_kinds
from agd.errors import InputError, SpecError
from agd.spec import ResolvedSpec, in_units
from agd.target import Target
from agd.units import Factor, factor, mismatch
from agd.views import Property, of_rows
from agd.work.leases import recorded
from agd.work.workspace import Workspace

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_UNIT = re.compile(r"[^\s<>=]{1,30}")


def all_properties(tx: Transaction) -> list[Property]:
    """Every property that values may be of."""
    return of_rows(Property, property_kinds.overview(tx))


def add_property(
    workspace: Workspace, name: str, unit: str, at_least: float | None = None, description: str = ""
) -> Property:
    """Add a property, with its unit and the least value it can have; the same again adds nothing.

    Raises:
        InputError: name, unit or bound cannot be; or there is one of that name that says something else.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no property's name: use small letters, digits and '_', as in critical_temperature"
        )
    if not _UNIT.fullmatch(unit):
        raise InputError(f"--unit {unit!r}: write it without spaces, as in K, W/m/K; 1 where there is none")
    if at_least is not None and not math.isfinite(at_least):
        raise InputError(f"--at-least {at_least}: give a finite number")
    values = {"name": name, "unit": unit, "lower_bound": at_least, "description": description.strip()}
    with workspace.database.read() as tx:
        there = datasets.property_of(tx, name)
    if there is None:
        with recorded(workspace, "add property") as activity_id, workspace.database.transaction() as tx:
            property_kinds.store(tx, values, activity_id)
            activities.finish(tx, activity_id)
    with workspace.database.read() as tx:
        found = next(row for row in all_properties(tx) if row.name == name)
    if (found.unit, found.lower_bound) != (unit, at_least):
        bound = "" if found.lower_bound is None else f", at least {found.lower_bound:g}"
        raise InputError(f"property {name!r} is there, in {found.unit}{bound}; it stays as it is: use another name")
    return found


def find_property(tx: Transaction, name: str, option: str) -> Property:
    """The property of that name; raises InputError naming the near miss and how one is added."""
    known = all_properties(tx)
    for one in known:
        if one.name == name:
            return one
    hint = registry.suggestion(name, [one.name for one in known])
    raise InputError(f"{option} {name!r} is not known{hint}; `agd data property add {name} --unit UNIT` adds one")


def factor_to(kept: Property, unit: str, option: str) -> Factor:
    """What brings values to the unit that is kept; raises InputError where it is of another dimension, or not known."""
    found = factor(unit, kept.unit)
    if found is None:
        raise InputError(f"{option} {unit!r}: {mismatch(kept.name, unit, kept.unit)}")
    return found


def in_kept_units(tx: Transaction, resolved: ResolvedSpec) -> ResolvedSpec:
    """A specification whose targets are in the units that are kept.

    Raises:
        SpecError: there is no such property, or its unit is of another dimension.
    """
    place = resolved.place("target")
    kept = []
    for target in resolved.spec.targets:
        known = datasets.property_of(tx, target.property)
        if known is None:
            hint = registry.suggestion(target.property, datasets.property_names(tx))
            raise SpecError(
                f"{place}: no property {target.property!r}{hint}; `agd data property add {target.property} --unit "
                f"{target.unit}` adds it"
            )
        found = factor(target.unit, known.unit)
        if found is None:
            raise SpecError(f"{place}: {mismatch(target.property, target.unit, known.unit)}")
        kept.append(target if target.unit == known.unit else converted(target, known.unit, found))
    return resolved if kept == list(resolved.spec.targets) else in_units(resolved, [one.text for one in kept])


def converted(target: Target, unit: str, by: Factor) -> Target:
    """The same target in another unit, and in its words."""
    return Target.parse(target.text_in(unit, by.of))
