"""The residual network: one specification and one set of weights, for PyTorch and for Keras."""
