"""Methods and correction schemes: finding the one that a table names, and adding a method."""

from agd import methods as kinds
from agd import registry
from agd.db.connection import Transaction
from agd.db.record import activities, methods, structure_entries
from agd.errors import InputError
from agd.steps.data.names import check_name
from agd.views import Method, of_rows
from agd.work.leases import recorded
from agd.work.workspace import Workspace


def check_method(tx: Transaction, name: str) -> None:
    """Raise InputError naming the near miss where there is no such method."""
    known = [row.name for row in methods.overview(tx)]
    if name not in known:
        hint = registry.suggestion(name, known)
        raise InputError(f"--method: no method {name!r}{hint} (see `agd data methods` and `agd data add-method`)")


def check_scheme(tx: Transaction, name: str) -> None:
    """Raise InputError naming the near miss where there is no such correction scheme."""
    known = structure_entries.schemes(tx)
    if name not in known:
        raise InputError(f"--scheme: no correction scheme {name!r}{registry.suggestion(name, known)}")


def all_methods(tx: Transaction) -> list[Method]:
    """Every method, the highest fidelity first."""
    return of_rows(Method, methods.overview(tx))


def add_method(workspace: Workspace, name: str, kind: kinds.Kind, fidelity: int | None, description: str) -> Method:
    """Add a method, with the fidelity of its kind where none is given; the same again adds nothing.

    Raises:
        InputError: the name cannot be one, or is that of a method that says something else.
    """
    check_name(name)
    values = {
        "name": name,
        "kind": kind,
        "fidelity": kinds.FIDELITIES[kind] if fidelity is None else fidelity,
        "description": description.strip(),
    }
    with workspace.database.read() as tx:
        there = methods.find(tx, name)
    if there is None:
        with recorded(workspace, "add method") as activity_id, workspace.database.transaction() as tx:
            methods.store(tx, values, activity_id)
            activities.finish(tx, activity_id)
    with workspace.database.read() as tx:
        found = next(row for row in all_methods(tx) if row.name == name)
    if any(getattr(found, key) != value for key, value in values.items()):
        raise InputError(
            f"method {name!r} is there: {found.kind}, fidelity {found.fidelity}, {found.description!r}; it stays as it "
            "is: give this one another name"
        )
    return found
