"""Training with Keras on TensorFlow."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# first of all that loads TensorFlow, because it chooses the backend and keeps the start quiet
from dnapair.networks.tensorflow_net import TensorflowNet

# isort: split
import keras
import tensorflow as tf

from dnapair.machine.processor import has_bfloat16
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import Weights, initial_weights
from dnapair.training.learner import ADAM_BETAS, ADAM_EPSILON, Inputs, LearnerSettings

AMPERE = (8, 0)
"""The first compute capability of NVIDIA's with products of bfloat16 matrices."""


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
        reduced = settings.precision == "bfloat16" or (
            settings.precision == "auto" and _multiplies_bfloat16()
        )
        self._net = TensorflowNet(spec, "mixed_bfloat16" if reduced else "float32")
        # the same weights in float32, brought up to date before they score
        self._scorer = TensorflowNet(spec).model
        self._net.set_weights(initial_weights(spec, settings.seed))
        trainable = [variable.value for variable in self._net.model.trainable_variables]
        self._optimizer = _AdamW(trainable, settings)
        # open in the number of pairs, so that a shorter last batch is not traced again
        batches, pairs = (
            tuple(tf.TensorSpec((*open_, width), tf.float32) for width in spec.inputs.values())
            for open_ in ((None, None), (None,))
        )
        labels = tf.TensorSpec((None, None), tf.float32)
        # neither has a loop or a choice of Python's for AutoGraph to translate
        self._steps = tf.function(self._train, input_signature=[batches, labels], autograph=False)
        self._forward = tf.function(self._score, input_signature=[pairs], autograph=False)

    @staticmethod
    def use_threads(threads: int) -> None:
        """Use so many threads for an operation, in this process, which has not used TensorFlow yet."""
        tf.config.threading.set_intra_op_parallelism_threads(threads)

    def train_batches(self, inputs: Inputs, labels: np.ndarray) -> np.ndarray:
        """Take one step for each batch and return the weighted losses before them."""
        losses: np.ndarray = self._steps(inputs, labels).numpy()
        return losses

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Return float32 logits, shape=(n,), with dropout off."""
        logits: np.ndarray = self._forward(inputs).numpy()
        return logits

    def get_weights(self) -> Weights:
        """Copy the weights out."""
        return self._net.get_weights()

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copy weights in."""
        self._net.set_weights(weights)

    def set_learning_rate(self, value: float) -> None:
        """Use another learning rate from the next step on."""
        self._optimizer.learning_rate.assign(value)

    def _train(self, inputs: tuple[Any, ...], labels: Any) -> Any:
        # one call for many steps: each call from Python costs as much as a part of a step
        return tf.map_fn(self._step, (inputs, labels), fn_output_signature=tf.float32, parallel_iterations=1)

    def _step(self, batch: tuple[tuple[Any, ...], Any]) -> Any:
        inputs, labels = batch
        with tf.GradientTape() as tape:
            logits = self._net.model(list(inputs), training=True)
            losses = tf.nn.weighted_cross_entropy_with_logits(labels, logits, self.settings.positive_weight)
            loss = tf.reduce_mean(losses)
        self._optimizer.apply(tape.gradient(loss, self._optimizer.variables))
        return loss

    def _score(self, inputs: tuple[Any, ...]) -> Any:
        for own, trained in zip(self._scorer.weights, self._net.model.weights, strict=True):
            own.assign(trained)
        return self._scorer(list(inputs), training=False)


class _AdamW:
    """AdamW with clipping, by TensorFlow's one kernel for all of Adam: Keras' own makes ten steps of it."""

    def __init__(self, variables: list[Any], settings: LearnerSettings) -> None:
        self.variables = variables
        self.learning_rate = tf.Variable(settings.learning_rate, dtype=tf.float32)
        self._settings = settings
        self._first, self._second = (
            [tf.Variable(tf.zeros_like(variable)) for variable in variables] for _ in ADAM_BETAS
        )
        self._powers = [tf.Variable(beta, dtype=tf.float32) for beta in ADAM_BETAS]

    def apply(self, gradients: list[Any]) -> None:
        clipped, _ = tf.clip_by_global_norm(gradients, self._settings.clip_norm)
        kept = 1 - self.learning_rate * self._settings.weight_decay
        for variable, first, second, gradient in zip(
            self.variables, self._first, self._second, clipped, strict=True
        ):
            variable.assign(variable * kept)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=self._powers[0],
                beta2_power=self._powers[1],
                lr=self.learning_rate,
                beta1=ADAM_BETAS[0],
                beta2=ADAM_BETAS[1],
                epsilon=ADAM_EPSILON,
                grad=gradient,
            )
        for power, beta in zip(self._powers, ADAM_BETAS, strict=True):
            power.assign(power * beta)


def _multiplies_bfloat16() -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return bool(details.get("compute_capability", (0, 0)) >= AMPERE)
    return has_bfloat16()
