"""The residual network in Keras on TensorFlow. Import it before any other module of TensorFlow's."""

import os
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from dnapair.machine.stderr import silent_stderr
from dnapair.networks.features import join
from dnapair.networks.spec import EPSILON, MOMENTUM, NetworkSpec
from dnapair.networks.weights import Weights, prefixes

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# TensorFlow logs while it is loaded and looks for devices, whatever the log level
with silent_stderr():
    import keras
    import tensorflow

    tensorflow.config.list_physical_devices()
# no bars of Keras' own: it would draw them over ours
keras.config.disable_interactive_logging()

_CANONICAL = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


class TensorflowNet:
    """Scores pairs.

    Parameters
    ----------
    spec
        The network; its weights are drawn by Keras until :meth:`set_weights`.
    dtype
        Of what the blocks compute, as Keras names it: ``float32``, or ``mixed_bfloat16``, where the
        weights and the head stay float32.

    Attributes
    ----------
    model : keras.Model
        Takes a list of what :attr:`NetworkSpec.inputs` names, float32 of shape=(n, width) each; gives
        logits of shape=(n,). Layers have the names of :func:`dnapair.networks.weights.shapes`.
    """

    def __init__(self, spec: NetworkSpec, dtype: str = "float32") -> None:
        self.spec = spec
        inputs = [keras.Input((width,), name=name) for name, width in spec.inputs.items()]
        flow = keras.layers.Concatenate(name="features")(join(inputs, spec.symmetric))
        heads = [_member(flow, prefix, spec, dtype) for prefix in prefixes(spec)]
        head = keras.layers.Average(name="mean")(heads) if spec.members > 1 else heads[0]
        self.model = keras.Model(inputs, keras.layers.Reshape((), name="logits")(head), name="dnapair")

    def get_weights(self) -> Weights:
        """Copy the weights out, by the names and in the shapes of :func:`dnapair.networks.weights.shapes`."""
        return {name: _turned(variable, variable.numpy()).copy() for name, variable in self._variables()}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copy weights in, by the same names."""
        for name, variable in self._variables():
            variable.assign(_turned(variable, weights[name]))

    def with_probability(self) -> Any:
        """Wrap it in a model of one input.

        Returns
        -------
        keras.Model
            From float32 to probabilities, shape=(n,). It takes pairs of embeddings, shape=(n, 2, dimensions),
            or, where the network takes interactions, all its inputs side by side, shape=(n, sum of widths).
        """
        if self.spec.interactions:
            ends = list(accumulate(self.spec.inputs.values(), initial=0))
            pairs = keras.Input((ends[-1],), name="pairs")
            logits = self.model([pairs[:, start:end] for start, end in pairwise(ends)])
        else:
            pairs = keras.Input((2, self.spec.dimensions), name="pairs")
            logits = self.model([pairs[:, 0], pairs[:, 1]])
        return keras.Model(pairs, keras.layers.Activation("sigmoid", name="probability")(logits))

    def _variables(self) -> Iterator[tuple[str, Any]]:
        for layer in self.model.layers:
            for variable in layer.weights:
                yield f"{layer.name}.{_CANONICAL[variable.name]}", variable


def _member(flow: Any, prefix: str, spec: NetworkSpec, dtype: str) -> Any:
    for number, (before, after) in enumerate(spec.blocks):
        flow = _block(flow, f"{prefix}blocks.{number}", before, after, spec, dtype)
    return keras.layers.Dense(1, name=f"{prefix}head")(flow)


def _block(flow: Any, name: str, inputs: int, outputs: int, spec: NetworkSpec, dtype: str) -> Any:
    skip = flow
    if inputs != outputs:
        skip = keras.layers.Dense(outputs, use_bias=False, name=f"{name}.skip", dtype=dtype)(flow)
    flow = keras.layers.Dense(outputs, name=f"{name}.linear", dtype=dtype)(flow)
    named = {"name": f"{name}.normalization", "dtype": dtype}
    if spec.normalization == "layer":
        flow = keras.layers.LayerNormalization(epsilon=EPSILON, **named)(flow)
    elif spec.normalization == "batch":
        flow = keras.layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, **named)(flow)
    flow = keras.layers.Activation(spec.activation, name=f"{name}.activation", dtype=dtype)(flow)
    flow = keras.layers.Dropout(spec.dropout, name=f"{name}.dropout", dtype=dtype)(flow)
    return keras.layers.Add(name=f"{name}.sum", dtype=dtype)([flow, skip])


def _turned(variable: Any, value: np.ndarray) -> np.ndarray:
    """Turn a matrix between Keras' (inputs, outputs) and PyTorch's (outputs, inputs)."""
    return value.T if variable.name == "kernel" else value
