"""A BERT, whatever runs it: its shape, its weights, and what goes in and out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[np.floating]]
"""By their names in a Hugging Face checkpoint, without ``bert.`` before them, see :func:`weight_shapes`."""

Windows = tuple[NDArray[np.int32], NDArray[np.bool_]]
"""Windows of one length: token ids, and which of them are real k-mers; shape=(n, length) each."""

ACTIVATIONS = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
"""Kinds of GELU by their names in config.json: how it is computed."""

CONFIG = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
}
"""What of a config.json describes a BERT, with the values that Hugging Face's files leave out: others of
transformers' keys name code, kernels or adapters to load."""


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

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "BertShape":
        """Take it from what has the keys of :data:`CONFIG`."""
        return cls(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            dimensions=config["hidden_size"],
            positions=config["max_position_embeddings"],
            gelu=ACTIVATIONS[config["hidden_act"]],
            epsilon=float(config["layer_norm_eps"]),
        )


class Bert(Protocol):
    """A BERT laid out for a device, with a way to pool."""

    def run(self, batches: Sequence[Windows]) -> list[NDArray[np.float32]]:
        """Run batches.

        Parameters
        ----------
        batches
            Those of one call are worked on together.

        Returns
        -------
        list of np.ndarray
            For each batch what pooling made of its windows, shape=(n, d), float32.
        """


def weight_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight by its name in a Hugging Face checkpoint.

    Parameters
    ----------
    config
        With the keys of :data:`CONFIG`.

    Returns
    -------
    dict
        For example ``{"embeddings.word_embeddings.weight": (4101, 768), ...}``: without the pooler, and
        without ``bert.`` before the names.
    """
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    named: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        dense = {f"attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        dense |= {
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (wide, hidden),
            "output.dense": (hidden, wide),
        }
        for name, (outputs, inputs) in dense.items():
            named |= {f"{layer}.{name}.weight": (outputs, inputs), f"{layer}.{name}.bias": (outputs,)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name in norms:
        named |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    return named
