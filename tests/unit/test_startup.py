"""Importing does nothing heavy: the command line starts at once."""

import subprocess
import sys

HEAVY = {"torch", "sklearn", "scipy", "numpy", "pymatgen", "sqlalchemy", "psycopg", "alembic", "bayes_opt", "pydantic"}


def test_the_command_line_loads_no_heavy_library() -> None:
    program = "import sys, agd.cli.app; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY.isdisjoint(loaded)


def test_looking_at_campaigns_loads_no_specification() -> None:
    program = "import sys, agd.steps.reading.overviews, agd.work.workspace, agd.engines; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "agd.protocols", "agd.filters"}.isdisjoint(loaded)
    program = "import sys, agd.steps.campaign.campaigns; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"agd.spec", "agd.filters", "agd.steps.generation", "scipy", "pandas", "torch"}.isdisjoint(loaded)
