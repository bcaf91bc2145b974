"""From a formula to structures: templates, relaxation by potentials, hulls and what they let one claim."""
