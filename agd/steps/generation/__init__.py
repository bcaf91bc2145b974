"""Generation: a generator's samples become a dataset."""
