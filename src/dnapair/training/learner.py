"""What the training loop asks of a framework."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from dnapair.networks.weights import Weights

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8
"""Of AdamW: the frameworks' own defaults differ."""
Precision = Literal["auto", "float32", "bfloat16"]
Inputs = tuple[np.ndarray, ...]
"""What :attr:`NetworkSpec.inputs` names, one array each: float32."""


class LearnerSettings(NamedTuple):
    """How a learner changes its weights.

    AdamW: Loshchilov & Hutter 2019, "Decoupled weight decay regularization".

    Attributes
    ----------
    learning_rate, weight_decay
        Of AdamW.
    clip_norm
        Greatest norm of the gradient over all weights.
    positive_weight
        Weight of a positive pair in the loss; a negative one weighs 1.
    seed
        Of the initial weights and of dropout.
    precision
        Of the matrix products of a step; weights, optimizer and scoring stay float32. ``auto`` is bfloat16
        where the device has instructions for it, else float32.
    """

    learning_rate: float
    weight_decay: float
    clip_norm: float
    positive_weight: float
    seed: int
    precision: Precision = "float32"

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "LearnerSettings":
        """Take them from what holds others too, such as the section ``train`` of params.yaml."""
        return cls(**{name: fields[name] for name in cls._fields})


class Learner(Protocol):
    """A network that can be trained."""

    settings: LearnerSettings

    def train_batches(self, inputs: Inputs, labels: np.ndarray) -> np.ndarray:
        """Take one step for each batch, in order.

        Parameters
        ----------
        inputs : tuple of np.ndarray, each of shape=(batches, n, width)
            float32.
        labels : np.ndarray, shape=(batches, n)
            float32, 0 or 1.

        Returns
        -------
        np.ndarray, shape=(batches,)
            The weighted loss before each step, float32.
        """

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Return float32 logits, shape=(n,), of inputs of shape=(n, width) each, with dropout off."""

    def get_weights(self) -> Weights:
        """Copy the weights out, by the names of :func:`dnapair.networks.weights.shapes`."""

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copy weights in, by the same names."""

    def set_learning_rate(self, value: float) -> None:
        """Use another learning rate from the next step on."""
