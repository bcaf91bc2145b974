"""Any work: read, compute with nothing open, write; its leases, its files, and where it happens."""
