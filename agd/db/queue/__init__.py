"""The queue's documents in PostgreSQL: what FireWorks would keep in MongoDB."""
