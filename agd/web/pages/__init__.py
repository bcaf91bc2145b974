"""One file for each kind of page: what it reads, and what it shows."""
