"""Labels by hand: a measurement becomes a label, and a label is retracted by a row of its own."""

import getpass
import math
from dataclasses import dataclass, replace
from datetime import date

from agd import registry
from agd.chem.doubts import is_doubtful
from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, campaigns, datasets, labels
from agd.errors import BusyError, InputError, NotFoundError
from agd.plausible import Range, implausible, plausible_range
from agd.steps.data.compositions import store_compositions
from agd.units import factor, mismatch
from agd.views import Label, Resting, RestingCampaign, RestingEvaluation, RestingModel, of_row, of_rows
from agd.work.leases import recorded
from agd.work.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Measurement:
    """What somebody found: the value, its standard deviation, and who says so.

    Both are in the property's unit, or in `unit`, which is converted. `replicate` tells apart several measurements of
    one compound by one operator on one day.
    """

    value: float
    operator: str
    uncertainty: float | None = None
    note: str | None = None
    replicate: int = 1
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class AddedLabel:
    """The label of a measurement; `was_there` where the very same had been recorded before.

    `is_doubtful` where the formula reads like a word, an oxidation state or a slip.
    """

    label_id: int
    reduced_formula: str
    was_there: bool
    is_doubtful: bool = False


def whoami() -> str:
    """Who runs this program; raises InputError where the system has no name for them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InputError("this system does not say who you are: name the operator") from None


def add_label(
    workspace: Workspace, formula: str, property_name: str, measurement: Measurement, *, measured_on: date
) -> AddedLabel:
    """Record a measurement and its label; the same again adds nothing.

    Raises:
        FormulaError: the formula does not parse.
        InputError: property, value, uncertainty, operator or date cannot be; or the same operator's measurement of that
            day and replicate says something else, or was retracted.
    """
    named = identify(parse_formula(formula))
    with workspace.database.read() as tx:
        measurement = _checked(tx, property_name, measurement, measured_on)
    with recorded(workspace, "measure") as activity_id, workspace.database.transaction() as tx:
        (composition_id,) = store_compositions(tx, named, activity_id).tolist()
        key = {
            "composition_id": composition_id,
            "property": property_name,
            "operator": measurement.operator.strip(),
            "measured_on": measured_on,
            "replicate": measurement.replicate,
        }
        made = labels.store_measurement(
            tx, key, measurement.note, measurement.value, measurement.uncertainty, activity_id
        )
        if made is None:
            made_before = _same(labels.measured(tx, key), measurement, named.reduced_formula[0])
        activities.finish(tx, activity_id)
    if made is None:
        return AddedLabel(made_before, named.reduced_formula[0], was_there=True, is_doubtful=is_doubtful(formula))
    return AddedLabel(made, named.reduced_formula[0], was_there=False, is_doubtful=is_doubtful(formula))


def what_rests_on(workspace: Workspace, label_id: int, formula: str | None = None) -> Resting:
    """What would lose its ground if a label that still stands were retracted.

    Raises:
        NotFoundError: there is no such label.
        InputError: it is of another compound than `formula`, or was retracted before.
    """
    with workspace.database.read() as tx:
        found = _standing(tx, label_id)
        if formula is not None and identify(parse_formula(formula)).reduced_formula[0] != found.reduced_formula:
            raise InputError(
                f"label {label_id} is of {found.reduced_formula}, not of {formula}: `agd why {formula}` shows the "
                "numbers of its labels"
            )
        used = labels.resting(tx, label_id, found.composition_id)
    return Resting(
        of_row(Label, found),
        of_rows(RestingCampaign, used["campaigns"]),
        of_rows(RestingModel, used["models"]),
        of_rows(RestingEvaluation, used["evaluations"]),
    )


def retract_label(workspace: Workspace, label_id: int, reason: str) -> AnyRow:
    """Withdraw a label; it stays in the record with the reason, and in the training sets made before.

    Returns its row of v_label.

    Raises:
        NotFoundError: there is no such label.
        InputError: no reason is given, or it was retracted before.
    """
    check_reason(reason)
    with workspace.database.read() as tx:
        found = _standing(tx, label_id)
    with recorded(workspace, "retract") as activity_id, workspace.database.transaction() as tx:
        if not labels.store_retraction(tx, label_id, reason.strip(), activity_id):
            raise _retracted_before(found)
        campaigns.store_tallies_anew(tx, activity_id)
        activities.finish(tx, activity_id)
    return found


def check_reason(reason: str) -> None:
    """Raise InputError where a label is to be retracted without a reason."""
    if not reason.strip():
        raise InputError("say why the label is retracted: the reason stays in the record")


def _standing(tx: Transaction, label_id: int) -> AnyRow:
    found = labels.find(tx, label_id)
    if found is None:
        raise NotFoundError(f"no label {label_id}: `agd why FORMULA` shows the labels of a compound with their numbers")
    if found.is_retracted:
        raise _retracted_before(found)
    return found


def _retracted_before(found: AnyRow) -> InputError:
    formula = found.reduced_formula
    return InputError(f"label {found.label_id} of {formula} was retracted before: `agd why {formula}` says when")


def _checked(tx: Transaction, property_name: str, measurement: Measurement, measured_on: date) -> Measurement:
    """The measurement in the unit of its property, if it can be one."""
    known = datasets.property_of(tx, property_name)
    if known is None:
        raise InputError(
            f"no property {property_name!r}{registry.suggestion(property_name, datasets.property_names(tx))}"
        )
    measurement = _in_unit(measurement, property_name, known.unit)
    value, uncertainty = measurement.value, measurement.uncertainty
    if not math.isfinite(value) or (known.lower_bound is not None and value < known.lower_bound):
        least = "" if known.lower_bound is None else f" of {known.lower_bound:g} {known.unit} or more"
        raise InputError(f"{value:g} is no value of {property_name}: give a finite number{least}")
    if (why := implausible(value, property_name)) is not None:
        raise InputError(f"{value:g} {known.unit} {why}: give the value in {known.unit}")
    widest = plausible_range(property_name).width
    if uncertainty is not None and uncertainty not in Range(0.0, widest):
        raise InputError(
            f"{uncertainty:g} is no uncertainty: give one standard deviation in {known.unit}, from 0 to {widest:g}"
        )
    if not measurement.operator.strip():
        raise InputError("say who measured it: an operator's name")
    if not 1 <= measurement.replicate < 2**31:
        raise InputError(f"replicate {measurement.replicate}: replicates count from 1")
    if "\x00" in f"{measurement.operator}{measurement.note}":
        raise InputError("operator or note holds the null character: leave it out")
    if measured_on > date.today():  # noqa: DTZ011  a day is the operator's own
        raise InputError(f"{measured_on} has not come yet: give the day of the measurement")
    return measurement


def _in_unit(measurement: Measurement, property_name: str, kept: str) -> Measurement:
    if measurement.unit in {None, kept}:
        return measurement
    by = factor(measurement.unit or kept, kept)
    if by is None:
        raise InputError(f"--unit {measurement.unit}: {mismatch(property_name, measurement.unit or kept, kept)}")
    spread = None if measurement.uncertainty is None else by.of(measurement.uncertainty)
    return replace(measurement, value=by.of(measurement.value), uncertainty=spread, unit=kept)


def _same(there: AnyRow | None, measurement: Measurement, formula: str) -> int:
    """The label that is there, if it says the same and still stands."""
    if there is None:
        raise BusyError("another process has just recorded this measurement: run the command again")
    if there.is_retracted:
        raise InputError(
            f"label {there.id} of {formula}, by the same operator on that day, was retracted ({there.reason}): "
            f"a new measurement is --replicate {measurement.replicate + 1}"
        )
    if (there.value, there.uncertainty) != (measurement.value, measurement.uncertainty):
        raise InputError(
            f"label {there.id} of {formula}, by the same operator on that day, is {there.value:g}: `agd label retract "
            f"{there.id} --why ...` withdraws it; a second measurement is --replicate {measurement.replicate + 1}"
        )
    return int(there.id)
