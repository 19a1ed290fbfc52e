"""How the two sequences of a pair meet, base by base: a row of numbers for each pair."""
