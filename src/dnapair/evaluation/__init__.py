"""How good a network is, how sure that is, and better than what: metrics, intervals, baselines, the gate."""
