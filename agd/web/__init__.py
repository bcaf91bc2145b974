"""Pages of the record for a browser: they read, and change nothing."""
