"""Pretraining a DNABERT of your own: fragments of one genome are neighbours, hidden k-mers are guessed."""
