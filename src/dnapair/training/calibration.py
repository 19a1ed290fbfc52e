"""Temperature scaling: probabilities that mean what they say, by one number."""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from dnapair.networks.weights import Weights
from dnapair.training.loop import cross_entropy

LOWEST, HIGHEST = 0.05, 20.0
"""Ends of the temperatures that are tried: pairs told apart without a fault have none that is best."""


class Calibrated(NamedTuple):
    """A trained network whose logits were divided by a temperature.

    Attributes
    ----------
    temperature
        Above 1 where the network was too sure of itself.
    weights
        Of the network that gives the divided logits.
    val_logits : np.ndarray, shape=(n,)
        The validation pairs' divided logits, float32.
    """

    temperature: float
    weights: Weights
    val_logits: np.ndarray


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the number that logits are to be divided by for the least log loss.

    Source: Guo et al. 2017, "On calibration of modern neural networks".

    Parameters
    ----------
    logits : np.ndarray, shape=(n,)
        Of validation pairs, on the data's own class ratio.
    labels : np.ndarray, shape=(n,)
        1 for related, 0 for unrelated.

    Returns
    -------
    float
        Between :data:`LOWEST` and :data:`HIGHEST`; 1 where no other is better.
    """
    found = minimize_scalar(
        lambda log: cross_entropy(logits / math.exp(log), labels),
        bounds=(math.log(LOWEST), math.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    temperature = math.exp(found.x)
    return temperature if found.fun < cross_entropy(logits, labels) else 1.0


def calibrate(weights: Weights, val_logits: np.ndarray, labels: np.ndarray) -> Calibrated:
    """Divide a trained network's logits by the temperature that suits the validation pairs best.

    The order of pairs stays as it is. The division is done in the heads, so whoever loads the weights gets
    calibrated probabilities.

    Parameters
    ----------
    weights
        Of the trained network.
    val_logits : np.ndarray, shape=(n,)
        Its logits of the validation pairs, on the data's own class ratio.
    labels : np.ndarray, shape=(n,)
        Theirs, 1 for related, 0 for unrelated.

    Returns
    -------
    Calibrated
        The temperature, the weights and the validation logits.
    """
    temperature = fit_temperature(val_logits, labels)
    divisor = np.float32(temperature)
    divided = {
        name: value / divisor if name.endswith(("head.weight", "head.bias")) else value
        for name, value in weights.items()
    }
    return Calibrated(temperature, divided, val_logits / divisor)
