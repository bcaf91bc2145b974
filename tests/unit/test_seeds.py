"""The numbers are pinned: with others a recorded campaign would not resume to the same rows."""

from agd.seeds import derive_seed, member_seed, spawn_seeds


def test_the_numbers_of_every_release() -> None:
    assert derive_seed(3, 1, "suggest") == 8_240_016_781_839_889_859
    assert len({derive_seed(3, i, "suggest") for i in range(1000)}) == 1000
    assert member_seed(0, "random_forest") == 2_946_081_941
    assert spawn_seeds(7, 3) == [2_083_679_832, 3_939_563_265, 4_185_785_210]
    assert spawn_seeds(2**62, 2) == spawn_seeds(2**62, 5)[:2]
