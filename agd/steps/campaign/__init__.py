"""A campaign: what it is, what it does next, and the steps it consists of."""
