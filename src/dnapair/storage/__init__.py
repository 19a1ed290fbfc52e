"""How things lie on disk: whole files, hashes, columns, matrices, strings found by their content."""
