"""Training with Keras on TensorFlow."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# first of all that loads TensorFlow, because it chooses the backend and keeps the start quiet
from dnapair.networks import tensorflow_net

# isort: split
import keras
import tensorflow as tf

from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import Weights, initial_weights
from dnapair.training.learner import ADAM_EPSILON, LearnerSettings


class TensorflowLearner:
    """The TensorFlow learner, see :class:`~dnapair.training.learner.Learner`.

    Parameters
    ----------
    spec
        The network.
    settings
        How its weights change.
    """

    def __init__(self, spec: NetworkSpec, settings: LearnerSettings) -> None:
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(settings.seed)
        self.settings = settings
        self._net = tensorflow_net.build(spec)
        tensorflow_net.set_weights(self._net, initial_weights(spec, settings.seed))
        self._optimizer = keras.optimizers.AdamW(
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            epsilon=ADAM_EPSILON,
            global_clipnorm=settings.clip_norm,
        )
        self._optimizer.build(self._net.trainable_variables)
        # open in the number of pairs, so that a shorter last batch is not traced again
        embedding = tf.TensorSpec((None, spec.dimensions), tf.float32)
        label = tf.TensorSpec((None,), tf.float32)
        self._step = tf.function(self._train, input_signature=[embedding, embedding, label])
        self._forward = tf.function(self._score, input_signature=[embedding, embedding])

    def train_batch(self, e1: np.ndarray, e2: np.ndarray, labels: np.ndarray) -> float:
        """Take one step and return the weighted loss before it."""
        return float(self._step(e1, e2, labels))

    def predict(self, e1: np.ndarray, e2: np.ndarray) -> np.ndarray:
        """Return float32 logits, shape=(n,), with dropout off."""
        logits: np.ndarray = self._forward(e1, e2).numpy()
        return logits

    def get_weights(self) -> Weights:
        """Copy the weights out."""
        return tensorflow_net.get_weights(self._net)

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copy weights in."""
        tensorflow_net.set_weights(self._net, weights)

    def set_learning_rate(self, value: float) -> None:
        """Use another learning rate from the next step on."""
        self._optimizer.learning_rate = value

    def _train(self, e1: Any, e2: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = self._net([e1, e2], training=True)
            losses = tf.nn.weighted_cross_entropy_with_logits(labels, logits, self.settings.positive_weight)
            loss = tf.reduce_mean(losses)
        variables = self._net.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def _score(self, e1: Any, e2: Any) -> Any:
        return self._net([e1, e2], training=False)
