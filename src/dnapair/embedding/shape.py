"""The shape of a BERT: what its forward pass needs to know beside the weights."""

from typing import NamedTuple

ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
"""Kinds of GELU by their names in config.json: how it is computed."""


class BertShape(NamedTuple):
    """Shape of a BERT.

    Attributes
    ----------
    layers, heads
        How many there are; heads in each layer.
    dimensions
        Length of a token's vector.
    positions
        The most tokens in one window, [CLS] and [SEP] included.
    gelu
        ``erf`` or ``tanh``: how GELU is computed between the feed-forward layers.
    epsilon
        Added to the variance in layer normalisation.
    """

    layers: int
    heads: int
    dimensions: int
    positions: int
    gelu: str
    epsilon: float
