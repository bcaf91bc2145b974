"""The structures of the record for other programs, by the OPTIMADE API, version 1 (10.1038/s41597-021-00974-z)."""
