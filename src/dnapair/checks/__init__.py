"""Is the data fit: Great Expectations, the leakage audit, unknown k-mers, drift."""
