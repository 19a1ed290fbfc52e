"""Training: one loop, and a learner for each framework."""
