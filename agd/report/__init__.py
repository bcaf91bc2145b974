"""What a person sees of campaigns: comparisons, pages, tables to take away. It only reads the record."""
