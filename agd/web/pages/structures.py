"""A structure: its cell and sites, drawn, and as a CIF file."""

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agd.chem.structures import volume_a3
from agd.db.record import structure_entries, structures
from agd.errors import NotFoundError
from agd.steps.structures.formats import write_cif
from agd.types import Structure
from agd.views import ImportedStructure, StructureRow, of_rows
from agd.web.site import query_of, site_of


def structure(request: Request) -> Response:
    """One structure; `as=cif` is the file, `as=json` what is drawn of it."""
    site, number = site_of(request), request.path_params["id"]
    with site.read() as tx:
        kept = structures.some(tx, [number]).get(number)
        if kept is None:
            raise NotFoundError(f"there is no structure {number}")
        rows = of_rows(StructureRow, structure_entries.found(tx, str(number), None))
    crystal = kept.structure
    match query_of(request).get("as"):
        case "cif":
            headers = {"content-disposition": f'attachment; filename="structure-{number}.cif"'}
            return Response(write_cif(crystal), media_type="chemical/x-cif", headers=headers)
        case "json":
            return JSONResponse(_drawn(crystal))
    found = ImportedStructure(
        structure_id=kept.id,
        reduced_formula=kept.reduced_formula,
        space_group=kept.space_group,
        n_sites=len(crystal.species),
        volume_a3=volume_a3(crystal),
        lattice=crystal.lattice.tolist(),
        species=list(crystal.species),
        frac=crystal.frac.tolist(),
        cell_sha256=kept.cell_sha256,
        rows=rows,
    )
    lengths = np.linalg.norm(crystal.lattice, axis=1).tolist()
    return site.show("structure.html", found=found, lengths=lengths)


def _drawn(crystal: Structure) -> dict[str, object]:
    """Cell `[3, 3]` and places `[n, 3]` in Å, with what stands there."""
    places = (crystal.frac % 1.0) @ crystal.lattice
    return {"lattice": crystal.lattice.tolist(), "species": list(crystal.species), "places": places.tolist()}
