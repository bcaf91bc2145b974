"""The paper (arXiv 2103.00608) by command: each table and figure from rows of the record, beside what was published."""
