"""The encoder learns from labelled pairs: as a net over bags of k-mers first, then as the BERT that it is."""
