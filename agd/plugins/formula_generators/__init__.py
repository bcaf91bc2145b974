"""Generators of formulas, without a latent space to search in."""
