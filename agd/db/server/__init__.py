"""The embedded PostgreSQL server; its door is `embedded`."""
