"""What the paper prints (arXiv 2103.00608): Table 1, its text, and what its authors' files say of them."""

from types import MappingProxyType
from typing import Final

from agd.reproduction.outcome import Figure

HIGH_EV: Final = 6.0
"""A candidate has at least this predicted band gap."""

N_REPEATS: Final = 10
EPOCHS: Final = 200
"""Of each training of Roost; the text says ten repeats, the epochs are the default of the authors' code."""

HOLD_OUT_R2: Final = "hold-out R2"
EXTERNAL_R2: Final = "R2 of the 500"
MAE: Final = "hold-out MAE, eV"
RMSE: Final = "hold-out RMSE, eV"
CANDIDATES: Final = "candidates"
RECOVERY: Final = "recovery, %"

ROWS: Final = ("Exp1", "Exp2 BS", "Exp2 AL", "Exp3 BS", "Exp3 AL")

N_ROWS: Final = MappingProxyType({"Exp1": 42_677, "Exp2 BS": 1000, "Exp2 AL": 1741, "Exp3 BS": 300, "Exp3 AL": 1153})


def _row(r2: float, r2_sd: float, external: float, external_sd: float, errors: tuple[float, ...]) -> dict[str, Figure]:
    mae, mae_sd, rmse, rmse_sd = errors
    n = N_REPEATS
    return {
        HOLD_OUT_R2: Figure(r2, r2_sd, n),
        EXTERNAL_R2: Figure(external, external_sd, n),
        MAE: Figure(mae, mae_sd, n),
        RMSE: Figure(rmse, rmse_sd, n),
    }


TABLE_1: Final = MappingProxyType(
    {
        "Exp1": _row(0.735, 0.021, 0.850, 0.023, (0.505, 0.016, 0.826, 0.034)),
        "Exp2 BS": _row(0.361, 0.022, 0.409, 0.016, (0.882, 0.024, 1.208, 0.021)),
        "Exp2 AL": _row(0.611, 0.009, 0.414, 0.013, (0.539, 0.008, 0.869, 0.010)),
        "Exp3 BS": _row(-0.243, 0.082, 0.227, 0.042, (1.202, 0.057, 1.633, 0.054)),
        "Exp3 AL": _row(0.757, 0.015, 0.417, 0.005, (0.309, 0.019, 0.592, 0.019)),
    }
)

CANDIDATE_COUNTS: Final = MappingProxyType({"Exp1": 102, "Exp2 BS": 123, "Exp2 AL": 171, "Exp3 BS": 33, "Exp3 AL": 81})
RECOVERY_RATES: Final = MappingProxyType(
    {"Exp1": 100.0, "Exp2 BS": 51.96, "Exp2 AL": 78.43, "Exp3 BS": 2.94, "Exp3 AL": 57.84}
)

MATGAN_VALIDITY: Final = 84.5
MATGAN_NOVELTY: Final = 92.53
"""Per cent, of the generator trained on valid ICSD formulas, at 2 M samples (doi:10.1038/s41524-020-00352-0)."""

N_SCREENED: Final = 1_180_000

SEMICONDUCTOR_EV: Final = (2.0, 4.0)
"""What the forest of section 3.3.4 picked."""
