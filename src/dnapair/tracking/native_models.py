"""The trained network as a native MLflow model, beside the pyfunc model that takes raw DNA."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import Weights

_REQUIREMENTS = {"torch": ("torch", "numpy"), "tensorflow": ("tensorflow", "keras", "numpy")}


def read_packages() -> None:
    """Have MLflow read what each installed package holds, as it would before it saves the first model."""
    warn_dependency_requirement_mismatches(["mlflow"])


def save_network(
    framework: str, spec: NetworkSpec, weights: Weights, inputs: tuple[np.ndarray, ...], folder: Path
) -> None:
    """Write a network as a native MLflow model.

    The model takes float32 of shape=(n, 2, dimensions), both scaled embeddings of each pair; or, where the
    network takes interactions, of shape=(n, sum of widths), its scaled inputs side by side in their order. It
    gives the probability of being related, shape=(n,).

    Parameters
    ----------
    framework
        ``torch`` or ``tensorflow``.
    spec, weights
        The network.
    inputs : tuple of np.ndarray, each of shape=(n, width)
        Of n > 1 pairs, for an example: what :attr:`NetworkSpec.inputs` names, scaled, float32.
    folder
        A new folder.
    """
    float32 = np.dtype(np.float32)
    example = np.concatenate(inputs, axis=1) if spec.interactions else np.stack(inputs, axis=1)
    common = {
        "path": str(folder),
        "input_example": example,
        "signature": ModelSignature(
            inputs=Schema([TensorSpec(float32, (-1, *example.shape[1:]))]),
            outputs=Schema([TensorSpec(float32, (-1,))]),
        ),
        "pip_requirements": [f"{name}=={version(name).split('+')[0]}" for name in _REQUIREMENTS[framework]],
    }
    if framework == "torch":
        mlflow.pytorch.save_model(_torch_model(spec, weights), **common)
    else:
        mlflow.tensorflow.save_model(_tensorflow_model(spec, weights), **common)


def _torch_model(spec: NetworkSpec, weights: Weights) -> Any:
    from dnapair.networks.torch_net import TorchNet

    net = TorchNet(spec)
    net.set_weights(weights)
    return net.with_probability().eval()


def _tensorflow_model(spec: NetworkSpec, weights: Weights) -> Any:
    from dnapair.networks.tensorflow_net import TensorflowNet

    net = TensorflowNet(spec)
    net.set_weights(weights)
    return net.with_probability()
