"""How good a network is: metrics with intervals, baselines beside it, and plots."""
