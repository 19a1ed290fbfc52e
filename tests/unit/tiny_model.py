"""A pair model small enough for a fast test, as MLflow saves it."""

from pathlib import Path

import mlflow
import numpy as np

import dnapair
from dnapair.embedding.encoder import build_untrained
from dnapair.files import write_json
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import initial_weights, save_weights
from dnapair.scaling import Scaler
from dnapair.scoring import Settings, write_bundle

DIMENSIONS = 16


def write_tiny_bundle(folder: Path, seed: int = 1) -> None:
    """Write an encoder of 4-mers, its scaler, and a network of drawn weights."""
    encoder = build_untrained(k=4, layers=1, hidden=DIMENSIONS, heads=2, seed=seed)
    parts = folder.with_name(f"{folder.name}_parts")
    parts.mkdir(parents=True)
    spec = NetworkSpec(DIMENSIONS, (32, 8), 1, 0.0, "layer", "relu", symmetric=False)
    write_json(parts / "network.json", spec.to_json())
    save_weights(parts / "weights.safetensors", initial_weights(spec, seed))
    scaler = Scaler(DIMENSIONS, "dimension")
    scaler.partial_fit(np.array([[-0.5] * DIMENSIONS, [0.5] * DIMENSIONS], np.float32))
    scaler.save(parts / "scaler.safetensors")
    folder.mkdir()
    settings = Settings("mean", "both", True, "float32", "error", 0.5)
    write_bundle(folder, encoder, parts / "scaler.safetensors", parts, settings)


def save_tiny_model(folder: Path, seed: int = 1) -> str:
    """Save it as the registry has it; return its address."""
    write_tiny_bundle(folder / "bundle", seed)
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=str(Path(dnapair.__file__).parent / "serving.py"),
        artifacts={"bundle": str(folder / "bundle")},
        pip_requirements=["mlflow"],
    )
    return str(folder / "model")
