"""Which structures a potential relaxes because they compete."""

from dataclasses import dataclass

import pytest

from agd.errors import NotFoundError
from agd.steps.structures.phases import competing


@dataclass(frozen=True)
class Row:
    """As `structures_of` gives one."""

    structure_id: int
    reduced_formula: str
    chemical_system: str
    n_sites: int
    e_form_ev_per_atom: float | None

    @property
    def cell_sha256(self) -> str:
        return str(self.structure_id)


ELEMENTS = [Row(1, "Sr", "Sr", 1, 0.0), Row(2, "F2", "F", 8, 0.0)]
FLUORITE = Row(3, "SrF2", "F-Sr", 3, -4.2)


def chosen(*rows: Row) -> list[int]:
    return competing([*ELEMENTS, *rows], ["Sr", "F"])  # type: ignore[list-item]  # its columns are all that is read


def test_the_lowest_label_of_a_composition_near_the_hull_competes() -> None:
    higher, far = Row(4, "SrF2", "F-Sr", 6, -4.0), Row(5, "Sr3F", "F-Sr", 4, 0.3)
    assert chosen(higher, FLUORITE, far) == [1, 2, 3]


def test_what_no_label_speaks_of_may_be_lower_and_the_smallest_of_it_compete() -> None:
    unlabelled = [Row(4, "SrF2", "F-Sr", 24, None), Row(5, "SrF2", "F-Sr", 12, None), Row(6, "SrF2", "F-Sr", 6, None)]
    assert chosen(FLUORITE, *unlabelled) == [1, 2, 3, 5, 6]
    assert chosen(*unlabelled) == [1, 2, 5, 6]


def test_a_large_cell_competes_for_an_element_alone() -> None:
    assert chosen(Row(4, "SrF2", "F-Sr", 200, None), Row(5, "SrF2", "F-Sr", 120, -4.3)) == [1, 2]
    unlabelled = [Row(7, "Sr", "Sr", 120, None), Row(8, "F2", "F", 8, 0.0)]
    assert competing(unlabelled, ["Sr", "F"]) == [7, 8]  # type: ignore[arg-type]  # same


def test_an_element_whose_lowest_label_is_not_zero_has_a_lower_structure_without() -> None:
    labelled, unlabelled = Row(3, "Eu", "Eu", 8, 0.042), Row(4, "Eu", "Eu", 6, None)
    assert competing([labelled, unlabelled], ["Eu"]) == [3, 4]  # type: ignore[list-item]  # same
    assert competing([Row(3, "Eu", "Eu", 8, 0.0), unlabelled], ["Eu"]) == [3]  # type: ignore[list-item]  # same


def test_without_an_element_there_is_no_formation_energy() -> None:
    with pytest.raises(NotFoundError, match="no structure of Sr"):
        competing([ELEMENTS[1], FLUORITE], ["Sr", "F"])  # type: ignore[list-item]  # same
