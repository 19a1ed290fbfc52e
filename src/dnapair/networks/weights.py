"""One set of weights for both frameworks: names and shapes as PyTorch has them, arrays of numpy."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.storage.files import atomic_file

Weights = dict[str, np.ndarray]


def shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight by its name, in the order of the network.

    Parameters
    ----------
    spec
        The network.

    Returns
    -------
    dict
        For example ``{"blocks.0.linear.weight": (512, 1024), ..., "head.bias": (1,)}``. Batch
        normalisation's running statistics are among them. Of several members, each name begins with
        ``members.0.`` and so on.
    """
    if spec.members > 1:
        own = shapes(spec.member)
        return {f"{prefix}{name}": own[name] for prefix in prefixes(spec) for name in own}
    named: dict[str, tuple[int, ...]] = {}
    statistics = {"layer": (), "batch": ("running_mean", "running_var"), "none": ()}[spec.normalization]
    outputs = spec.features
    for number, (inputs, outputs) in enumerate(spec.blocks):
        block = f"blocks.{number}"
        named[f"{block}.linear.weight"] = (outputs, inputs)
        named[f"{block}.linear.bias"] = (outputs,)
        if spec.normalization != "none":
            for part in ("weight", "bias", *statistics):
                named[f"{block}.normalization.{part}"] = (outputs,)
        if inputs != outputs:
            named[f"{block}.skip.weight"] = (outputs, inputs)
    named["head.weight"] = (1, outputs)
    named["head.bias"] = (1,)
    return named


def prefixes(spec: NetworkSpec) -> list[str]:
    """Return what the names of each member's weights begin with: nothing where there is one alone."""
    return [f"members.{number}." if spec.members > 1 else "" for number in range(spec.members)]


def gather(spec: NetworkSpec, members: Sequence[Weights]) -> Weights:
    """Make the weights of a network of those of its members."""
    return {
        f"{prefix}{name}": value
        for prefix, weights in zip(prefixes(spec), members, strict=True)
        for name, value in weights.items()
    }


def split(spec: NetworkSpec, weights: Mapping[str, np.ndarray]) -> list[Weights]:
    """Return the weights of a network's members, each by the names of a network alone."""
    names = shapes(spec.member)
    return [{name: weights[f"{prefix}{name}"] for name in names} for prefix in prefixes(spec)]


def initial_weights(spec: NetworkSpec, seed: int) -> Weights:
    """Draw the weights that training starts from, the same for both frameworks.

    Layers before relu, gelu and silu start by He et al. 2015 ("Delving deep into rectifiers"), all other
    matrices by Glorot & Bengio 2010 ("Understanding the difficulty of training deep feedforward neural
    networks"), both normally distributed; biases start at 0.

    Parameters
    ----------
    spec
        The network.
    seed
        Same seed, same weights.

    Returns
    -------
    dict
        float32 arrays with the names and shapes of :func:`shapes`.
    """
    rng = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in shapes(spec).items():
        if len(shape) == 2:
            outputs, inputs = shape
            he = name.endswith("linear.weight") and spec.activation != "tanh"
            deviation = math.sqrt(2 / (inputs if he else inputs + outputs))
            weights[name] = (deviation * rng.standard_normal(shape)).astype(np.float32)
        else:
            one = name.endswith(("normalization.weight", "running_var"))
            weights[name] = np.full(shape, float(one), np.float32)
    return weights


def save_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights as safetensors; same weights, same bytes."""
    with atomic_file(path) as temporary:
        # written by Python, which tells a full disk from other errors
        temporary.write_bytes(pack_weights(weights))


def pack_weights(weights: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes that :func:`save_weights` writes."""
    packed: bytes = save({name: np.ascontiguousarray(value) for name, value in weights.items()})
    return packed


def unpack_weights(packed: bytes) -> Weights:
    """Return the weights that :func:`pack_weights` was given."""
    weights: Weights = load(packed)
    return weights


def load_weights(path: Path, spec: NetworkSpec) -> Weights:
    """Read weights and check that they fit a network.

    Parameters
    ----------
    path
        A file by :func:`save_weights`.
    spec
        The network they are for.

    Returns
    -------
    dict
        float32 arrays with the names and shapes of :func:`shapes`.

    Raises
    ------
    DnapairError
        If the file is missing or damaged, or a weight is missing, unknown or of another shape or type.
    """
    try:
        weights: Weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DnapairError(
            f"{path} can't be read: {error}. Train again: dvc repro --force --single-item train"
        ) from None
    expected = {name: (shape, np.dtype(np.float32)) for name, shape in shapes(spec).items()}
    found = {name: (value.shape, value.dtype) for name, value in weights.items()}
    wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    if wrong:
        first = wrong[0]
        raise DnapairError(
            f"{path} does not fit the network that network.json describes: {len(wrong)} weights differ, the "
            f"first is {first} (there: {_say(found.get(first))}, needed: {_say(expected.get(first))}). "
            "Train again: dvc repro --force --single-item train"
        )
    return weights


def _say(weight: tuple[tuple[int, ...], np.dtype] | None) -> str:
    return "none" if weight is None else f"{weight[1]} {weight[0]}"
