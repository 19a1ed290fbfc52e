"""A user's files to clean, split pairs: raw files, tables, FASTA, genomes, pairs, groups, splits."""
