"""`python -m agd` is `agd`."""

from agd.cli import main

main()
