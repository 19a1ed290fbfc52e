"""Labelled pairs out of FASTA of many genomes: which fragments, who is paired with whom, which files."""
