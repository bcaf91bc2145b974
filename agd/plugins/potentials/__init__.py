"""Potentials: energies of structures, and where they relax to."""
