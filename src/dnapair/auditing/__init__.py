"""What the splits give away to each other: copies, relatives, groups, and labels that one sequence tells."""
