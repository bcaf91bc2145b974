"""Crystal files: candidates of a composition as CIF, a file each."""

from pathlib import Path

from agd.db.record import structures
from agd.steps.structures.formats import write_cif
from agd.views import Structured
from agd.work.workspace import Workspace
from agd.writing import check_outputs, write_text


def cif_files(workspace: Workspace, found: Structured, folder: Path, *, force: bool = False) -> list[Path]:
    """Write a file for each candidate into a folder, relaxed where a potential did so, and say which.

    Named are they by formula, rank, template and potential: `SrYF5-01-BaYF5-sevennet.cif`.

    Raises:
        InputError: a file of that name is there and `force` is not given; then none is written.
    """
    of_file: dict[Path, int] = {}
    for row in found.candidates:
        by = "" if row.relaxed_id is None else f"-{row.potential}"
        name = f"{found.formula}-{row.rank:02d}-{row.template}{by}.cif"
        of_file[folder / name] = row.structure_id if row.relaxed_id is None else row.relaxed_id
    with workspace.database.read() as tx:
        there = structures.some(tx, list(of_file.values()))
    folder.mkdir(parents=True, exist_ok=True)
    check_outputs(list(of_file), force=force)
    for path, structure_id in of_file.items():
        write_text(path, write_cif(there[structure_id].structure), force=force)
    return list(of_file)
