"""Where computing and recording meet: rooms of work, each with its own transactions."""
