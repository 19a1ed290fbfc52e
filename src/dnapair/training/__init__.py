"""Training: one loop, and for each framework a learner that takes a step."""
