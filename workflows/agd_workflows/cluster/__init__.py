"""Workers on a cluster: as its jobs, and on nodes that cannot reach the record."""
