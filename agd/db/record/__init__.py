"""What steps write into the record, and what they look up to do so."""
